"""A topic of Kafka: confirmed once every replica in sync has the record.

The producer is idempotent, so its own repeats leave one record. It goes on trying when the call has
ended long ago, and then the record may be there twice, both with the same key. What broke the
numbering of its records (a broker that lost them) ends it, and the next record has another.
"""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka

from fifhir.brokers import CONNECT, Login
from fifhir.brokers.kafka import security
from fifhir.errors import DeliveryError
from fifhir.sinks.record import Record

LARGEST = 64 << 20  # bytes of a record; the broker has a limit of its own
CLOSING = 5.0  # seconds

_DENIED = (
    kafka.TopicAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.UnsupportedSaslMechanismError,
    kafka.SaslAuthenticationFailed,
)
_WRONG = (
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
    kafka.InvalidTopicError,
    kafka.UnknownTopicOrPartitionError,
    kafka.PolicyViolationError,
)
_BROKEN = (
    kafka.OutOfOrderSequenceNumber,
    kafka.UnknownProducerId,
    kafka.InvalidProducerEpoch,
    kafka.ProducerFenced,
    kafka.ProducerClosed,
    kafka.IllegalStateError,
)
_UNSENT = (kafka.KafkaConnectionError, kafka.NodeNotReadyError)


class Publisher:
    """One idempotent producer of one worker, opened by the first record."""

    def __init__(self, login: Login, timeout: float) -> None:
        self._login = login
        self._timeout = timeout * 0.8  # it ends before the call does, and says why
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()

    async def publish(self, record: Record) -> None:
        """Every replica in sync has the record."""
        producer = self._producer or await self._opened()
        headers = [(name, text.encode()) for name, text in record.headers.items()]
        try:
            async with asyncio.timeout(self._timeout):
                await producer.send_and_wait(record.topic, record.body, record.key, headers=headers)
        except (kafka.KafkaError, TimeoutError, ValueError) as fault:
            if isinstance(fault, _BROKEN):
                await self._forget(producer)
            raise _named(fault) from fault

    async def close(self) -> None:
        if self._producer:
            await self._forget(self._producer)

    async def _opened(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(**_options(self._login, self._timeout))
                try:
                    async with asyncio.timeout(CONNECT):
                        await producer.start()
                except (kafka.KafkaError, OSError, TimeoutError) as fault:
                    await _stop(producer)
                    text = "kafka: no connection, no TLS or no login"
                    raise DeliveryError("connection_error", text, retryable=True) from fault
                self._producer = producer
            return self._producer

    async def _forget(self, producer: AIOKafkaProducer) -> None:
        """The next record has another producer."""
        if self._producer is producer:
            self._producer = None
            await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    with suppress(kafka.KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSING):
            await producer.stop()


def _options(login: Login, timeout: float) -> dict[str, object]:
    ours: dict[str, object] = {
        "acks": "all",
        "enable_idempotence": True,
        "max_request_size": LARGEST,
        "request_timeout_ms": int(timeout * 600),  # by then a topic is known or is not there
    }
    return security(login) | ours


def _named(fault: Exception) -> DeliveryError:
    name = type(fault).__name__
    match fault:
        case _ if isinstance(fault, _DENIED):
            return DeliveryError("auth_error", f"kafka: refused ({name})")
        case _ if isinstance(fault, (*_WRONG, ValueError)):
            return DeliveryError("client_error", f"kafka: refused ({name})")
        case _ if isinstance(fault, _UNSENT):
            return DeliveryError("connection_error", "kafka: no connection", retryable=True)
    return DeliveryError("ambiguous", f"kafka: not confirmed ({name})", retryable=True)
