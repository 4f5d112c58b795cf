"""A queue of RabbitMQ: confirmed once a queue has the message, on disk if the queue is durable.

Publisher confirms say that the broker has taken it on, `mandatory` that some queue has it: a
message that no queue wants comes back. One channel serves all messages of an action; when it
breaks, the next message opens another.
"""

import asyncio
import ssl
from contextlib import suppress

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection, AbstractExchange
from aiormq import exceptions as amqp

from fifhir.brokers import CONNECT, Login, host_port
from fifhir.errors import DeliveryError
from fifhir.sinks.record import Record

CLOSING = 5.0  # seconds


class Publisher:
    """One connection and one channel of one worker, opened by the first record."""

    def __init__(self, login: Login, vhost: str, exchange: str, timeout: float) -> None:
        self._login = login
        self._vhost = vhost
        self._name = exchange
        self._timeout = timeout * 0.8  # it ends before the call does, and says why
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()
        self._under_way: dict[str, asyncio.Event] = {}

    async def publish(self, record: Record) -> None:
        """Some queue has the record.

        Of two with the same id the second waits: what comes back is told apart by its id alone.
        """
        while other := self._under_way.get(record.id):
            await other.wait()
        done = self._under_way[record.id] = asyncio.Event()
        try:
            await self._publish(record)
        finally:
            del self._under_way[record.id]
            done.set()

    async def _publish(self, record: Record) -> None:
        exchange = await self._opened()
        message = Message(
            record.body,
            headers=dict(record.headers),
            message_id=record.id,
            type=record.kind,
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            app_id="fi-fhir",
        )
        try:
            await exchange.publish(message, record.topic, mandatory=True, timeout=self._timeout)
        except _FAULTS as fault:
            told = _named(fault)
            if told.kind == "ambiguous" or isinstance(fault, amqp.ChannelClosed):
                await self.close()
            raise told from fault

    async def close(self) -> None:
        connection, self._connection, self._exchange = self._connection, None, None
        if connection:
            with suppress(*_FAULTS):
                async with asyncio.timeout(CLOSING):
                    await connection.close()

    async def _opened(self) -> AbstractExchange:
        async with self._opening:
            if self._exchange is None or self._connection is None or self._connection.is_closed:
                await self.close()
                try:
                    async with asyncio.timeout(CONNECT):
                        self._exchange = await self._open()
                except _FAULTS as fault:
                    await self.close()
                    raise _unopened(fault) from fault
            return self._exchange

    async def _open(self) -> AbstractExchange:
        """The exchange, over the first server that answers."""
        connection = self._connection = await self._connect()
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        if self._name:
            return await channel.get_exchange(self._name, ensure=True)
        return channel.default_exchange

    async def _connect(self) -> AbstractConnection:
        *others, last = self._login.servers
        for server in others:
            with suppress(*_FAULTS):
                return await self._connected(server)
        return await self._connected(last)

    async def _connected(self, server: str) -> AbstractConnection:
        host, port = host_port(server)
        login = self._login
        return await aio_pika.connect(
            host=host,
            port=port,
            login=login.username or "guest",
            password=login.password.reveal() or "guest",
            virtualhost=self._vhost,
            ssl=login.trust is not None,
            ssl_context=login.trust.context() if login.trust else None,
            timeout=CONNECT,
            client_properties={"connection_name": "fi-fhir"},
        )


_FAULTS = (amqp.AMQPError, RuntimeError, OSError, TimeoutError, ValueError)
"""What the library raises; RuntimeError is a channel that is closed already."""


def _unopened(fault: Exception) -> DeliveryError:
    cause = fault.__cause__ or fault.__context__
    match cause if isinstance(cause, ssl.SSLError) else fault:
        case ssl.SSLCertVerificationError():
            return DeliveryError("tls", "rabbitmq: the server's certificate is not trusted")
        case ssl.SSLError():
            return DeliveryError("tls", "rabbitmq: no TLS with the server")
        case amqp.ProbableAuthenticationError() | amqp.AuthenticationError():
            return DeliveryError("auth_error", "rabbitmq: the login is refused")
        case amqp.ChannelAccessRefused() | amqp.ConnectionNotAllowed() | amqp.InvalidFrameError():
            return DeliveryError("auth_error", "rabbitmq: the virtual host or exchange is refused")
        case amqp.ChannelNotFoundEntity():
            return DeliveryError("client_error", "rabbitmq: there is no such exchange")
    return DeliveryError("connection_error", "rabbitmq: no connection", retryable=True)


def _named(fault: Exception) -> DeliveryError:
    match fault:
        case amqp.PublishError():
            return DeliveryError("client_error", "rabbitmq: no queue takes this routing key")
        case amqp.DeliveryError():
            return DeliveryError("server_error", "rabbitmq: not taken on", retryable=True)
        case amqp.ChannelAccessRefused():
            return DeliveryError("auth_error", "rabbitmq: publishing is refused")
        case amqp.ChannelNotFoundEntity():
            return DeliveryError("client_error", "rabbitmq: there is no such exchange")
        case amqp.ChannelPreconditionFailed() | ValueError():
            return DeliveryError("client_error", "rabbitmq: the message is refused")
    return DeliveryError("ambiguous", "rabbitmq: not confirmed in time", retryable=True)
