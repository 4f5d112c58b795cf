"""What is taken from brokers, beside what is sent to us: `kafka` and `nats` of the settings."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from fifhir import brokers
from fifhir.brokers import Keys, Login, Mechanism, Servers, Tls, Username
from fifhir.schema import Duration, Faults
from fifhir.secret import NONE, Secret
from fifhir.tls import CaFile, CertFile, Insecure, KeyFile, Trust

Word = Annotated[str, Meta(min_length=1, max_length=249)]


class Subscription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How messages are taken from a broker, whichever it is."""

    enabled: Annotated[bool, Meta(description="Whether to take messages from it.")] = False
    brokers: Servers = ""
    username: Username = ""
    password: Annotated[Secret, Meta(description="Its password.")] = NONE
    tls: Tls = False
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""
    tls_insecure: Insecure = False
    profile: Annotated[
        str, Meta(description="The profile that reads the messages; empty: by the rules.")
    ] = ""
    ack_when: Annotated[
        Literal["after_store", "after_actions"],
        Meta(
            description="When the broker is told that a message is done: after_store, once it is "
            "in the journal, or after_actions, once every action is confirmed or kept. Where no "
            "action reaches out of the process it is after_actions."
        ),
    ] = "after_store"
    in_flight: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Messages a worker holds that are not done; past that it takes no more.",
        ),
    ] = 256
    max_message_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=64 * 1024 * 1024,
            description="Largest message; a larger one is dead letter.",
        ),
    ] = 16 * 1024 * 1024

    def keys(self, mechanism: str = "PLAIN") -> Keys:
        trust = Trust(self.ca_file, self.cert_file, self.key_file, self.tls_insecure)
        return Keys(self.brokers, self.username, self.password, mechanism, self.tls, trust)


class KafkaSettings(Subscription, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages from topics of Kafka: one HL7 v2 message in each record.

    All workers of all hosts with the same `group` share the partitions. An offset is committed
    once everything before it is done.
    """

    topics: Annotated[
        tuple[Word, ...], Meta(max_length=100, description="The topics, as a list.")
    ] = ()
    group: Annotated[Word, Meta(description="The consumer group.")] = "fi-fhir"
    start: Annotated[
        Literal["earliest", "latest"],
        Meta(description="Where a group begins that has committed nothing yet."),
    ] = "earliest"
    mechanism: Mechanism = "PLAIN"
    source: Annotated[str, Meta(min_length=1, description="What the events are called after.")] = (
        "kafka"
    )

    def faults(self) -> Faults:
        if not self.enabled:
            return
        if lacking := brokers.missing("kafka"):
            yield ("enabled",), lacking
        if not self.topics:
            yield ("topics",), "needs at least one topic"
        yield from self.keys().faults()

    def login(self) -> Login:
        return self.keys(self.mechanism).login()


class NatsSettings(Subscription, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages from a stream of NATS JetStream: one HL7 v2 message in each.

    All workers of all hosts with the same `durable` share the stream; it is made as a pull consumer
    if it is not there. A message is acknowledged once it is done.
    """

    stream: Annotated[str, Meta(max_length=255, description="The stream.")] = ""
    subject: Annotated[
        str, Meta(max_length=255, description="Which of its subjects; empty: all of them.")
    ] = ""
    durable: Annotated[Word, Meta(description="The name of the durable consumer.")] = "fi-fhir"
    ack_wait: Annotated[
        Duration,
        Meta(
            ge=1,
            le=3600,
            description="How soon NATS gives a message to another worker when this one is silent.",
        ),
    ] = 30.0
    source: Annotated[str, Meta(min_length=1, description="What the events are called after.")] = (
        "nats"
    )

    def faults(self) -> Faults:
        if not self.enabled:
            return
        if lacking := brokers.missing("nats"):
            yield ("enabled",), lacking
        if not self.stream:
            yield ("stream",), "needs the name of a stream"
        yield from self.keys().faults()

    def login(self) -> Login:
        return self.keys().login()
