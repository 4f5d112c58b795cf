"""The `queue` action: the event to a topic of Kafka, NATS JetStream or RabbitMQ, confirmed."""

import re
from typing import Annotated, Protocol, assert_never

from msgspec import Meta, field

from fifhir import brokers, template
from fifhir.brokers import Driver, Keys, Login, Mechanism, Servers, Tls, Username
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Faults
from fifhir.secret import NONE, Secret
from fifhir.sinks.record import Record
from fifhir.tls import CaFile, CertFile, Insecure, KeyFile, Trust

_HEADER = r"[A-Za-z0-9_-]+"
_TOPICS: dict[Driver, re.Pattern[str]] = {
    "kafka": re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}"),
    "nats": re.compile(r"(?=.{1,255}$)[!-)+\-/-=?-~]+(?:\.[!-)+\-/-=?-~]+)*"),  # no * and no >
    "rabbitmq": re.compile(r"[!-~]{1,255}"),
}
_ONLY = (
    ("key", "kafka", ""),
    ("mechanism", "kafka", "PLAIN"),
    ("exchange", "rabbitmq", ""),
    ("vhost", "rabbitmq", "/"),
)
_OURS = frozenset(
    {"idempotency-key", "event-type", "event-id", "source", "traceparent", "nats-msg-id"}
)


class QueueConfig(
    Resilience, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="queue"
):
    """Send the event as JSON to a topic; the broker's own confirmation confirms it.

    Kafka confirms once all replicas in sync have it (acks=all, idempotent producer), NATS once it
    is in a stream of JetStream, RabbitMQ once it is in a queue (publisher confirms, mandatory,
    persistent). Every message has the headers idempotency-key, event-type, event-id, source and
    traceparent (W3C Trace Context). The key is the same at every try and every replay: JetStream
    throws a repeat away by it (Nats-Msg-Id, within the stream's duplicate window), for others it
    is the message's id, by which a consumer knows a repeat. Each driver needs an extra: pip
    install 'fifhir[kafka]', 'fifhir[nats]' or 'fifhir[rabbitmq]'.
    """

    driver: Annotated[Driver, Meta(description="Which broker it is.")]
    brokers: Servers
    topic: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="The topic (NATS: subject; RabbitMQ: routing key, and without an exchange "
            "the queue's name); may have templates, each for one word of it.",
            extra={"template": "topic"},
        ),
    ]
    key: Annotated[
        str,
        Meta(
            max_length=1024,
            description="Kafka: a template of what is the same for events that have to stay in "
            "order, as in {{.patient.mrn}}; empty: any partition.",
            extra={"template": "none"},
        ),
    ] = ""
    exchange: Annotated[
        str, Meta(max_length=255, description="RabbitMQ: the exchange; empty: the default one.")
    ] = ""
    vhost: Annotated[str, Meta(max_length=255, description="RabbitMQ: the virtual host.")] = "/"
    headers: Annotated[
        dict[str, str],
        Meta(
            max_length=64,
            description="Further headers; values may have templates.",
            extra={"keys": _HEADER, "flat": "header_", "template": "header"},
        ),
    ] = field(default_factory=dict)
    username: Username = ""
    password: Annotated[Secret, Meta(description="Its password.")] = NONE
    mechanism: Mechanism = "PLAIN"
    tls: Tls = False
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""
    tls_insecure: Insecure = False

    def faults(self) -> Faults:
        yield from super().faults()
        if lacking := brokers.missing(self.driver):
            yield ("driver",), lacking
        yield from self._keys().faults()
        if "{{" not in self.topic and not _TOPICS[self.driver].fullmatch(self.topic):
            yield ("topic",), f"is no topic of {self.driver}"
        if self.key and "{{" not in self.key:
            yield ("key",), "is the same for every event; write a template, as {{.patient.mrn}}"
        for name, driver, default in _ONLY:
            if self.driver != driver and getattr(self, name) != default:
                yield (name,), f"is for {driver} alone"
        for name in self.headers:
            if name.lower() in _OURS:
                yield ("headers", name), f"{name} is set by fi-fhir"

    def login(self) -> Login:
        return self._keys().login()

    def _keys(self) -> Keys:
        trust = Trust(self.ca_file, self.cert_file, self.key_file, self.tls_insecure)
        return Keys(self.brokers, self.username, self.password, self.mechanism, self.tls, trust)


class Publisher(Protocol):
    """A connection to brokers, opened by its first use and again after it broke."""

    async def publish(self, record: Record) -> None:
        """The broker has confirmed the record; DeliveryError if it has not."""

    async def close(self) -> None:
        """No connection is left open."""


class QueueSink:
    """Carries out one `queue` action of one route."""

    idempotent = True  # a repeat has the same id

    def __init__(self, config: QueueConfig) -> None:
        self.destination = brokers.destination(config.driver, config.login().servers)
        self._publisher = _publisher(config)
        self._legal = _TOPICS[config.driver]
        self._topic = template.compile(config.topic, "topic")
        self._key = template.compile(config.key, "none") if config.key else None
        self._headers = [
            (name, template.compile(text, "header")) for name, text in config.headers.items()
        ]

    async def deliver(self, parcel: Parcel) -> None:
        """The broker has the event and has confirmed it."""
        try:
            record = self._record(parcel)
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from fault
        await self._publisher.publish(record)

    async def close(self) -> None:
        await self._publisher.close()

    def _record(self, parcel: Parcel) -> Record:
        written = parcel.written
        document = written.document
        topic = self._topic.render(document)
        if not self._legal.fullmatch(topic):
            raise DeliveryError("template", "queue: what is filled in is no topic")
        ours = {
            "idempotency-key": parcel.key,
            "event-type": written.type,
            "event-id": written.id,
            "source": written.source,
            "traceparent": parcel.traceparent,
        }
        theirs = {name: each.render(document) for name, each in self._headers}
        key = self._key.render(document).encode() if self._key else None
        return Record(topic, key, parcel.key, written.type, theirs | ours, written.json)


def _publisher(config: QueueConfig) -> Publisher:
    """The library is read in before the fork, where all workers share its pages."""
    login, timeout = config.login(), config.timeout
    match config.driver:
        case "kafka":
            from fifhir.sinks import kafka  # noqa: PLC0415 - what it needs is an extra

            return kafka.Publisher(login, timeout)
        case "nats":
            from fifhir.sinks import jetstream  # noqa: PLC0415 - what it needs is an extra

            return jetstream.Publisher(login, timeout)
        case "rabbitmq":
            from fifhir.sinks import rabbitmq  # noqa: PLC0415 - what it needs is an extra

            return rabbitmq.Publisher(login, config.vhost, config.exchange, timeout)
    assert_never(config.driver)
