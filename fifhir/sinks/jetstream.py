"""A subject of NATS: confirmed once a stream of JetStream has the message, and only once.

The message's id is its Nats-Msg-Id: within the stream's duplicate window a repeat is confirmed and
thrown away. One connection serves all messages of an action; when it breaks, the next message
opens another.
"""

import asyncio
import ssl

import nats.errors
from nats.aio.client import Client
from nats.js import errors as stream

from fifhir.brokers import Login
from fifhir.brokers.nats import close, connect
from fifhir.errors import DeliveryError
from fifhir.sinks.record import Record


class Publisher:
    """One connection of one worker, opened by the first record."""

    def __init__(self, login: Login, timeout: float) -> None:
        self._login = login
        self._timeout = timeout * 0.8  # it ends before the call does, and says why
        self._client: Client | None = None
        self._opening = asyncio.Lock()

    async def publish(self, record: Record) -> None:
        """A stream has the record, once."""
        client = await self._opened()
        headers = record.headers | {"Nats-Msg-Id": record.id}
        try:
            await client.jetstream().publish(
                record.topic, record.body, timeout=self._timeout, headers=headers
            )
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as fault:
            raise _named(fault) from fault

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await close(client)

    async def _opened(self) -> Client:
        async with self._opening:
            if self._client is None or not self._client.is_connected:
                await self.close()
                try:
                    self._client = await connect(self._login)
                except (nats.errors.Error, OSError, TimeoutError) as fault:
                    raise _unopened(fault) from fault
            return self._client


def _unopened(fault: Exception) -> DeliveryError:
    match fault:
        case ssl.SSLCertVerificationError():
            return DeliveryError("tls", "nats: the server's certificate is not trusted")
        case ssl.SSLError():
            return DeliveryError("tls", "nats: no TLS with the server")
        case nats.errors.AuthorizationError():
            return DeliveryError("auth_error", "nats: the login is refused")
        case nats.errors.Error() if "authorization" in str(fault).lower():
            return DeliveryError("auth_error", "nats: the login is refused")
    return DeliveryError("connection_error", "nats: no connection", retryable=True)


def _named(fault: Exception) -> DeliveryError:
    match fault:
        case stream.NoStreamResponseError():
            text = "nats: no stream of JetStream takes this subject"
            return DeliveryError("server_error", text, retryable=True)
        case stream.APIError():
            again = fault.code == 503
            text = f"nats: refused with {fault.code}, error {fault.err_code}"
            kind = "server_error" if again else "client_error"
            return DeliveryError(kind, text, retryable=again)
        case nats.errors.MaxPayloadError():
            return DeliveryError("client_error", "nats: larger than the server takes")
        case nats.errors.BadSubjectError() | ValueError():
            return DeliveryError("template", "nats: what is filled in is no subject or header")
    return DeliveryError("ambiguous", "nats: not confirmed in time", retryable=True)
