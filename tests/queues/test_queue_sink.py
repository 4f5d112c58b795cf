"""The `queue` action against real brokers: what arrives, what is confirmed, what is refused."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import nats
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from fifhir.errors import DeliveryError
from tests.brokers import RABBIT, Kafka, Nats, Rabbit, folder, needs, needs_kafka
from tests.delivering import EVENT, delivered, faults, parcel, refused, sink

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    # aiokafka leaves the sockets of a broker that died to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HEADERS = {
    "idempotency-key": parcel().key,
    "event-type": "patient_admit",
    "event-id": "e-1",
    "source": "north",
    "x-unit": "north ward",
}
names = iter(range(1000))


def known(headers: Any) -> dict[str, str]:
    """The headers but the traceparent, whose trace is the event's."""
    told = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in dict(headers).items()
    }
    assert told.pop("traceparent").split("-")[1] == parcel().written.trace.trace_id
    return told


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), 120))


# Kafka


def kafka_action(broker: str, topic: str, **changed: Any) -> dict[str, Any]:
    return {
        "type": "queue",
        "driver": "kafka",
        "brokers": broker,
        "topic": topic,
        "key": "{{.patient.mrn}}",
        "headers": {"x-unit": "{{.source}} ward"},
        "timeout": "20s",
        **changed,
    }


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """A topic of three partitions."""
    name = f"events.{next(names)}"

    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plain)
        await admin.start()
        await admin.create_topics([NewTopic(name, 3, 1)])
        await admin.close()

    run(make)
    return name


def consumed(kafka: Kafka, topic: str, count: int) -> list[Any]:
    async def take() -> list[Any]:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=kafka.plain, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[Any] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
        await consumer.stop()
        return found

    found: list[Any] = run(take)
    return found


def test_kafka_has_the_event_under_its_key(kafka: Kafka, topic: str) -> None:
    delivered(kafka_action(kafka.plain, topic), parcel(), parcel())
    first, second = consumed(kafka, topic, 2)
    assert json.loads(first.value) == EVENT
    assert known(first.headers) == HEADERS
    assert (
        (first.key, first.partition) == (second.key, second.partition) == (b"007", first.partition)
    )


def test_a_template_says_which_topic(kafka: Kafka, topic: str) -> None:
    kind, _, number = topic.partition(".")
    action = kafka_action(kafka.plain, f"{kind}.{{{{.source}}}}")
    delivered(action, parcel({**EVENT, "source": number}))
    assert len(consumed(kafka, topic, 1)) == 1
    assert refused(action, parcel({**EVENT, "source": "n" * 300})).kind == "template"


def test_kafka_refuses_what_it_does_not_take(kafka: Kafka, topic: str) -> None:
    nowhere = refused(kafka_action(kafka.plain, "nowhere", timeout="3s"))
    assert (nowhere.kind, nowhere.retryable) == ("client_error", False)
    big = parcel({**EVENT, "note": "x" * (2 << 20)})
    assert refused(kafka_action(kafka.plain, topic), big).kind == "client_error"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_kafka_over_tls_with_a_login(kafka: Kafka, topic: str, pki: Path, mechanism: str) -> None:
    secured = {"tls": True, "ca_file": str(pki / "ca.pem"), "username": "me"}
    secured |= {"mechanism": mechanism, "password": "hush"}
    delivered(kafka_action(kafka.secured, topic, **secured))
    assert len(consumed(kafka, topic, 1)) == 1
    for wrong in ({"password": "wrong"}, {"ca_file": ""}):
        fault = refused(kafka_action(kafka.secured, topic, **secured | wrong))
        assert (fault.kind, fault.retryable) == ("connection_error", True)


def test_no_kafka_is_a_failure_to_try_again() -> None:
    fault = refused(kafka_action("127.0.0.1:1", "events"))
    assert (fault.kind, fault.retryable) == ("connection_error", True)


def test_a_kafka_that_dies_and_comes_again_gets_every_event(pki: Path) -> None:
    needs_kafka()
    with folder("kafka") as where:
        broker = Kafka(where, pki)
        try:
            _through_an_outage(broker, kafka_action(broker.plain, "events", timeout="5s"), _topic)
            found = consumed(broker, "events", 3)
        finally:
            broker.stop()
    assert {json.loads(each.value)["id"] for each in found} == {"e-0", "e-1", "e-2"}


def _topic(broker: Any) -> Callable[[], Awaitable[None]]:
    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.plain)
        await admin.start()
        await admin.create_topics([NewTopic("events", 1, 1)])
        await admin.close()

    return make


def _through_an_outage(
    broker: Any, action: dict[str, Any], prepare: Callable[[Any], Callable[[], Awaitable[None]]]
) -> None:
    """An event before, one during and after, and one after an outage, through one sink."""

    async def go() -> None:
        await prepare(broker)()
        made = sink(action)
        try:
            await made.deliver(parcel({**EVENT, "id": "e-0"}))
            broker.stop()
            with pytest.raises(DeliveryError) as caught:
                await made.deliver(parcel({**EVENT, "id": "e-1"}))
            assert caught.value.retryable
            await asyncio.to_thread(broker.start)
            for name in ("e-1", "e-2"):
                await _until_confirmed(made, parcel({**EVENT, "id": name}))
        finally:
            await made.close()

    run(go)


async def _until_confirmed(made: Any, what: Any) -> None:
    while True:
        try:
            await made.deliver(what)
        except DeliveryError:
            await asyncio.sleep(0.5)
        else:
            return


# NATS


def nats_action(server: str, **changed: Any) -> dict[str, Any]:
    return {
        "type": "queue",
        "driver": "nats",
        "brokers": server,
        "topic": "hl7.{{.source}}.{{.type}}",
        "headers": {"x-unit": "{{.source}} ward"},
        "timeout": "20s",
        **changed,
    }


async def _stream(client: Client) -> None:
    """A stream that knows of no message before."""
    with contextlib.suppress(NotFoundError):
        await client.jetstream().delete_stream("HL7")
    await client.jetstream().add_stream(name="HL7", subjects=["hl7.>"], max_msg_size=4096)


def subscribed(broker: Nats, **login: Any) -> list[Any]:
    """Every message of the stream."""

    async def take() -> list[Any]:
        client = await nats.connect(broker.url, **login)
        stream = client.jetstream()
        state = (await stream.stream_info("HL7")).state
        numbers = range(state.first_seq, state.last_seq + 1)
        found = [await stream.get_msg("HL7", number) for number in numbers]
        await client.close()
        return found

    found: list[Any] = run(take)
    return found


@pytest.fixture
def stream(nats: Nats) -> Nats:
    """An empty stream."""

    async def make() -> None:
        client = await connected(nats)
        await _stream(client)
        await client.close()

    run(make)
    return nats


async def connected(broker: Nats, **login: Any) -> Client:
    return await nats.connect(broker.url, **login)


def test_a_stream_has_the_event_once_however_often_it_is_sent(stream: Nats) -> None:
    delivered(nats_action(stream.server), parcel(), parcel())
    (message,) = subscribed(stream)
    assert message.subject == "hl7.north.patient_admit"
    assert json.loads(message.data) == EVENT
    assert known(message.headers) == HEADERS | {"Nats-Msg-Id": parcel().key}


def test_a_value_is_one_word_of_a_subject(stream: Nats) -> None:
    delivered(nats_action(stream.server), parcel({**EVENT, "source": "a.b *>c"}))
    assert subscribed(stream)[0].subject == "hl7.a_b___c.patient_admit"
    assert refused(nats_action(stream.server), parcel({**EVENT, "source": ""})).kind == "template"


@pytest.mark.parametrize(
    ("change", "kind", "again"),
    [
        ({"topic": "nobody.listens"}, "server_error", True),
        ({"headers": {"x": "y" * 5000}}, "client_error", False),
        ({"brokers": "127.0.0.1:1"}, "connection_error", True),
        ({"brokers": "127.0.0.1:1,127.0.0.1:2"}, "connection_error", True),
    ],
)
def test_jetstream_refuses_what_it_does_not_take(
    stream: Nats, change: dict[str, Any], kind: str, again: bool
) -> None:
    fault = refused(nats_action(stream.server) | change)
    assert (fault.kind, fault.retryable) == (kind, again)


def test_the_second_server_is_asked_when_the_first_is_not_there(stream: Nats) -> None:
    delivered(nats_action(f"127.0.0.1:1,{stream.server}"))
    assert len(subscribed(stream)) == 1


def test_nats_over_tls_with_a_login(pki: Path) -> None:
    needs("nats-server")
    with folder("nats") as where:
        broker = Nats(where, pki)
        try:
            _nats_over_tls(broker, pki)
        finally:
            broker.stop()


def _nats_over_tls(broker: Nats, pki: Path) -> None:
    login: dict[str, Any] = {"tls": ssl.create_default_context(cafile=pki / "ca.pem")}
    login |= {"user": "me", "password": "hush"}

    async def make() -> None:
        client = await connected(broker, **login)
        await _stream(client)
        await client.close()

    run(make)
    secured = {"tls": True, "ca_file": str(pki / "ca.pem"), "username": "me", "password": "hush"}
    delivered(nats_action(broker.server, **secured))
    assert len(subscribed(broker, **login)) == 1
    assert refused(nats_action(broker.server, **secured | {"password": "no"})).kind == "auth_error"
    assert refused(nats_action(broker.server, **secured | {"ca_file": ""})).kind == "tls"


def test_a_nats_that_dies_and_comes_again_gets_every_event() -> None:
    needs("nats-server")

    def prepare(broker: Nats) -> Callable[[], Awaitable[None]]:
        async def make() -> None:
            client = await connected(broker)
            await _stream(client)
            await client.close()

        return make

    with folder("nats") as where:
        broker = Nats(where)
        try:
            _through_an_outage(broker, nats_action(broker.server, timeout="5s"), prepare)
            found = subscribed(broker)
        finally:
            broker.stop()
    assert [json.loads(each.data)["id"] for each in found] == ["e-0", "e-1", "e-2"]


# RabbitMQ


def rabbit_action(server: str, queue: str, **changed: Any) -> dict[str, Any]:
    return {
        "type": "queue",
        "driver": "rabbitmq",
        "brokers": server,
        "topic": queue,
        "headers": {"x-unit": "{{.source}} ward"},
        "timeout": "20s",
        **changed,
    }


@pytest.fixture
def line(rabbit: Rabbit) -> str:
    """A durable queue."""
    name = f"events.{next(names)}"
    run(lambda: _queue(rabbit, name))
    return name


async def _queue(broker: Rabbit, name: str, exchange: str = "") -> None:
    connection = await aio_pika.connect(f"amqp://{broker.url}/")
    channel = await connection.channel()
    queue = await channel.declare_queue(name, durable=True)
    if exchange:
        made = await channel.declare_exchange(exchange, "topic", durable=True)
        await queue.bind(made, "hl7.*.patient_admit")
    await connection.close()


def emptied(broker: Rabbit, name: str) -> list[Any]:
    """Every message of the queue."""

    async def take() -> list[Any]:
        connection = await aio_pika.connect(f"amqp://{broker.url}/")
        queue = await (await connection.channel()).get_queue(name)
        found = []
        while message := await queue.get(no_ack=True, fail=False):
            found.append(message)
        await connection.close()
        return found

    found: list[Any] = run(take)
    return found


def test_a_queue_has_the_event_to_stay(rabbit: Rabbit, line: str) -> None:
    delivered(rabbit_action(rabbit.url, line), parcel(), parcel())
    first, second = emptied(rabbit, line)
    assert json.loads(first.body) == EVENT
    assert known(first.headers) == HEADERS
    assert first.message_id == second.message_id == parcel().key
    assert (first.type, first.delivery_mode) == ("patient_admit", 2)


def test_an_exchange_says_which_queue(rabbit: Rabbit, line: str) -> None:
    run(lambda: _queue(rabbit, line, "hl7"))
    action = rabbit_action(rabbit.url, "hl7.{{.source}}.{{.type}}", exchange="hl7")
    delivered(action)
    assert len(emptied(rabbit, line)) == 1
    fault = refused(action, parcel({**EVENT, "type": "lab_result"}))
    assert (fault.kind, str(fault)) == ("client_error", "rabbitmq: no queue takes this routing key")


@pytest.mark.parametrize(
    ("change", "kind", "again"),
    [
        ({"topic": "nobody.listens"}, "client_error", False),
        ({"exchange": "nowhere"}, "client_error", False),
        ({"vhost": "nowhere"}, "auth_error", False),
        ({"username": "me", "password": "wrong"}, "auth_error", False),
        ({"brokers": "127.0.0.1:1"}, "connection_error", True),
    ],
)
def test_rabbitmq_refuses_what_it_does_not_take(
    rabbit: Rabbit, line: str, change: dict[str, Any], kind: str, again: bool
) -> None:
    fault = refused(rabbit_action(rabbit.url, line) | change)
    assert (fault.kind, fault.retryable) == (kind, again)


def test_what_comes_back_is_nobody_elses_though_they_have_the_same_id(
    rabbit: Rabbit, line: str
) -> None:
    kind, _, number = line.partition(".")

    async def go() -> list[Any]:
        made = sink(rabbit_action(rabbit.url, f"{kind}.{{{{.source}}}}"))
        events = [parcel({**EVENT, "source": name}) for name in (number, "nobody") * 20]
        told = await asyncio.gather(*map(made.deliver, events), return_exceptions=True)
        await made.close()
        return told

    assert [each is None for each in run(go)] == [True, False] * 20
    assert len(emptied(rabbit, line)) == 20


def test_rabbitmq_over_tls(rabbit: Rabbit, line: str, pki: Path) -> None:
    delivered(rabbit_action(rabbit.secured, line, tls=True, ca_file=str(pki / "ca.pem")))
    assert len(emptied(rabbit, line)) == 1
    fault = refused(rabbit_action(rabbit.secured, line, tls=True))
    assert (fault.kind, fault.retryable) == ("tls", False)


def test_a_rabbitmq_that_dies_and_comes_again_gets_every_event(pki: Path) -> None:
    needs(RABBIT)
    with folder("rabbit") as where:
        broker = Rabbit(where, pki)
        try:
            action = rabbit_action(broker.url, "events", timeout="5s")
            _through_an_outage(broker, action, lambda each: lambda: _queue(each, "events"))
            found = emptied(broker, "events")
        finally:
            broker.remove()
    assert {json.loads(each.body)["id"] for each in found} == {"e-0", "e-1", "e-2"}


# at load


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"driver": "sqs"}, "one of kafka, nats, rabbitmq"),
        ({"brokers": "here"}, "expected host:port"),
        ({"brokers": "kafka://here:1"}, "expected host:port"),
        ({"topic": "a b"}, "is no topic of kafka"),
        ({"key": "patient.mrn"}, "same for every event"),
        ({"exchange": "x"}, "is for rabbitmq alone"),
        ({"headers": {"Event-Id": "x"}}, "is set by fi-fhir"),
        ({"username": "me"}, "go together"),
        ({"ca_file": "x.pem"}, "TLS is not spoken"),
        ({"topic": "{{.patient.nme}}"}, "unknown field"),
    ],
)
def test_what_is_wrong_is_told_at_load(change: dict[str, Any], text: str) -> None:
    assert text in faults(kafka_action("here:9092", "events") | change)


@pytest.mark.parametrize("driver", ["kafka", "nats", "rabbitmq"])
def test_without_its_extra_a_driver_is_refused_at_load(
    monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    monkeypatch.setattr("fifhir.brokers.find_spec", lambda name: None)
    action = {"type": "queue", "driver": driver, "brokers": "here:1", "topic": "events"}
    assert f"pip install 'fifhir[{driver}]'" in faults(action)
