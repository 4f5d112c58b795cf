"""Messages taken from real brokers: done before the broker is told so, whoever is killed meanwhile.

What a broker was told is done has to be delivered, in the journal or a dead letter at any moment,
also right after everything was killed. In the end every message was delivered.
"""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats as nats_client
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from fifhir.config import load
from fifhir.errors import ConfigError
from tests.brokers import Kafka, Nats
from tests.process.conftest import Running
from tests.waiting import until
from tests.web import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # A reader of the tests that fails leaves its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 120.0
PARTITIONS = 4
MESSAGES = 600
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
numbers = iter(range(1000))


def message(number: int, sender: str = "LAB") -> bytes:
    head = f"MSH|^~\\&|{sender}|CITY|C|D|20260101||ADT^A01|M{number:06}|P|2.5.1"
    return f"{head}\rPID|1||{number % 50}^^^CITY^MR\rPV1|1|I\r".encode()


class House:
    """A daemon that takes messages from a broker and sends each event to a web server."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.web = Server()
        self.runs: list[Running] = []
        route = {"name": "out", "actions": [{"type": "webhook", "url": self.web.url}]}
        workflow = {"name": "w", "routes": [route]}
        (folder / "workflow.yaml").write_text(json.dumps(workflow))
        (folder / "config.yaml").write_text(json.dumps(settings))

    def start(self) -> Running:
        running = Running(
            self.folder / f"log{len(self.runs)}",
            *("-m", "fifhir", "serve", "--config", str(self.folder / "config.yaml")),
            *("--workflow", str(self.folder / "workflow.yaml"), "--workers", "2"),
            *("--port", "0", "--metrics-port", "0"),
            FI_FHIR_DATA_DIR=str(self.folder / "data"),
        )
        self.runs.append(running)
        return running.until_ready()

    def end(self) -> None:
        for each in self.runs:
            each.end()
        self.web.stop()

    def delivered(self) -> set[str]:
        return {json.loads(body)["source_message_id"] for _, _, body in tuple(self.web.seen)}

    def kept(self) -> set[str]:
        """What is in the journal or a dead letter."""
        path = f"file:{self.folder}/data/store.db?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as db:
            query = "SELECT raw FROM workflow_events UNION ALL SELECT raw FROM dlq_events"
            return {raw.split(b"|")[9].decode() for (raw,) in db.execute(query) if b"|" in raw}

    def letters(self) -> list[tuple[str, str, bytes]]:
        path = f"file:{self.folder}/data/store.db?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as db:
            return db.execute("SELECT error_type, error_message, raw FROM dlq_events").fetchall()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], House]]:
    made: list[House] = []

    def build(settings: dict[str, Any]) -> House:
        made.append(House(tmp_path, settings))
        return made[-1]

    yield build
    for each in made:
        each.end()


# Kafka


def kafka_settings(kafka: Kafka, topic: str, **changed: Any) -> dict[str, Any]:
    return {
        "kafka": {"enabled": True, "brokers": kafka.plain, "topics": [topic], "group": topic}
        | changed
    }


@pytest.fixture
def topic(kafka: Kafka) -> str:
    name = f"hl7.{next(numbers)}"

    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plain)
        await admin.start()
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        await admin.close()

    asyncio.run(make())
    return name


def produce(kafka: Kafka, topic: str, *values: bytes, **headers: str) -> None:
    """The records are in the topic, in the order of their keys: the patient."""

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.plain, linger_ms=5)
        await producer.start()
        for number, value in enumerate(values):
            told = [(name, text.encode()) for name, text in headers.items()]
            await producer.send(topic, value, b"%d" % (number % 50), headers=told)
        await producer.stop()

    asyncio.run(send())


def committed(kafka: Kafka, topic: str) -> set[str]:
    """The control ids of every record the group has committed."""

    async def read() -> set[str]:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.plain, group_id=topic, enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign(partitions)
        ends = {each: await consumer.committed(each) or 0 for each in partitions}
        await consumer.seek_to_beginning()
        done: set[str] = set()
        while any([await consumer.position(each) < end for each, end in ends.items()]):
            for each, records in (await consumer.getmany(timeout_ms=500)).items():
                done |= {r.value.split(b"|")[9].decode() for r in records if r.offset < ends[each]}
        await consumer.stop()
        return done

    return asyncio.run(read())


@pytest.mark.parametrize("ack_when", ["after_store", "after_actions"])
def test_what_is_committed_is_delivered_or_kept_whoever_is_killed(
    kafka: Kafka, topic: str, house: Callable[..., House], ack_when: str
) -> None:
    sent = [message(number) for number in range(MESSAGES)]
    here = house(kafka_settings(kafka, topic, ack_when=ack_when))
    produce(kafka, topic, *sent[: MESSAGES // 2])
    running = here.start()
    for share in (10, 5, 3):  # a worker dies when so much has arrived
        until(lambda share=share: len(here.delivered()) >= MESSAGES // 2 // share, PATIENCE)  # type: ignore[misc]
        os.kill(running.pids()[0], signal.SIGKILL)
        until(lambda: len(running.pids()) == 2, PATIENCE)
    produce(kafka, topic, *sent[MESSAGES // 2 :])
    until(lambda: len(here.delivered()) >= MESSAGES * 6 // 10, PATIENCE)
    running.end()  # everything at once
    assert committed(kafka, topic) <= here.delivered() | here.kept()
    here.start()
    everything = {each.split(b"|")[9].decode() for each in sent}
    until(lambda: here.delivered() == everything, PATIENCE)
    until(lambda: committed(kafka, topic) == everything, PATIENCE)
    assert here.letters() == []


def test_the_order_of_a_key_is_kept(kafka: Kafka, topic: str, house: Callable[..., House]) -> None:
    here = house(kafka_settings(kafka, topic, ack_when="after_actions"))
    produce(kafka, topic, *(message(number) for number in range(200)))
    here.start()
    until(lambda: len(here.delivered()) == 200, PATIENCE)
    order = [json.loads(body)["source_message_id"] for _, _, body in here.web.seen]
    for key in range(50):
        of_key = [each for each in order if int(each[1:]) % 50 == key]
        assert of_key == sorted(of_key)


def test_what_cannot_be_read_is_kept_and_nothing_waits_for_it(
    kafka: Kafka, topic: str, house: Callable[..., House]
) -> None:
    here = house(kafka_settings(kafka, topic, max_message_bytes=4096))
    broken = [b"no message", b"PID|1||7\r", message(1) + b"x" * 5000, message(2) + message(3)]
    produce(kafka, topic, *broken, message(4))
    running = here.start()
    until(lambda: len(here.letters()) == len(broken), PATIENCE)
    until(lambda: here.delivered() == {"M000004"}, PATIENCE)
    assert sorted(raw for _, _, raw in here.letters()) == sorted(broken)
    assert {kind for kind, _, _ in here.letters()} == {"unreadable"}
    name = 'fi_fhir_broker_messages_total{broker="kafka",outcome="unreadable"}'
    until(lambda: running.metric(name) == len(broken), PATIENCE)


def test_a_trace_that_came_through_kafka_goes_on(
    kafka: Kafka, topic: str, house: Callable[..., House]
) -> None:
    here = house(kafka_settings(kafka, topic))
    produce(kafka, topic, message(1), traceparent=TRACEPARENT)
    here.start()
    until(lambda: len(here.web.seen) == 1, PATIENCE)
    [(_, headers, _)] = here.web.seen
    assert headers["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]


def test_a_worker_takes_no_more_than_it_may_hold(
    kafka: Kafka, topic: str, house: Callable[..., House]
) -> None:
    here = house(kafka_settings(kafka, topic, ack_when="after_actions", in_flight=8))
    here.web.answer = lambda path, body: (503, {}, b"")
    produce(kafka, topic, *(message(number) for number in range(200)))
    running = here.start()
    name = 'fi_fhir_broker_in_flight{broker="kafka"}'
    until(lambda: running.metric(name) > 0, PATIENCE)
    assert max(running.metric(name) for _ in range(20)) <= 16
    here.web.answer = lambda path, body: (200, {}, b"")
    until(lambda: here.delivered() == {f"M{n:06}" for n in range(200)}, PATIENCE)


def test_a_daemon_that_is_told_to_stop_leaves_nothing_half_done(
    kafka: Kafka, topic: str, house: Callable[..., House]
) -> None:
    here = house(kafka_settings(kafka, topic, ack_when="after_actions"))
    produce(kafka, topic, *(message(number) for number in range(MESSAGES)))
    running = here.start()
    until(lambda: len(here.delivered()) >= 100, PATIENCE)
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert committed(kafka, topic) == here.delivered()
    assert len(here.web.seen) == len(here.delivered())


def test_a_reload_hands_the_partitions_over(
    kafka: Kafka, topic: str, house: Callable[..., House]
) -> None:
    here = house(kafka_settings(kafka, topic))
    produce(kafka, topic, *(message(number) for number in range(200)))
    running = here.start()
    until(lambda: len(here.delivered()) == 200, PATIENCE)
    before = running.pids()
    running.send(signal.SIGHUP)
    until(lambda: len(running.pids()) == 2 and not set(running.pids()) & set(before), PATIENCE)
    produce(kafka, topic, *(message(number) for number in range(200, 400)))
    until(lambda: len(here.delivered()) == 400, PATIENCE)
    assert len(here.web.seen) == 400


# NATS


def nats_settings(nats: Nats, stream: str, **changed: Any) -> dict[str, Any]:
    ours = {"enabled": True, "brokers": nats.server, "stream": stream, "ack_wait": "5s"}
    return {"nats": ours | changed}


@pytest.fixture
def stream(nats: Nats) -> str:
    name = f"HL7_{next(numbers)}"

    async def make() -> None:
        client = await nats_client.connect(nats.url)
        await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
        await client.close()

    asyncio.run(make())
    return name


def publish(nats: Nats, stream: str, *values: bytes, **headers: str) -> None:
    async def send() -> None:
        client = await nats_client.connect(nats.url)
        for value in values:
            await client.jetstream().publish(f"{stream}.adt", value, headers=headers or None)
        await client.close()

    asyncio.run(send())


def unacknowledged(nats: Nats, stream: str) -> int:
    async def ask() -> int:
        client = await nats_client.connect(nats.url)
        told = await client.jetstream().consumer_info(stream, "fi-fhir")
        await client.close()
        return (told.num_pending or 0) + (told.num_ack_pending or 0)

    return asyncio.run(ask())


def acknowledged(nats: Nats, stream: str, sent: list[str]) -> set[str]:
    """What everything up to the acknowledgment floor is."""

    async def ask() -> int:
        client = await nats_client.connect(nats.url)
        told = await client.jetstream().consumer_info(stream, "fi-fhir")
        await client.close()
        return told.ack_floor.stream_seq if told.ack_floor else 0

    return set(sent[: asyncio.run(ask())])


@pytest.mark.parametrize("ack_when", ["after_store", "after_actions"])
def test_what_is_acknowledged_is_delivered_or_kept_whoever_is_killed(
    nats: Nats, stream: str, house: Callable[..., House], ack_when: str
) -> None:
    sent = [f"M{number:06}" for number in range(MESSAGES)]
    here = house(nats_settings(nats, stream, ack_when=ack_when))
    publish(nats, stream, *(message(number) for number in range(MESSAGES)))
    running = here.start()
    for share in (10, 5):
        until(lambda share=share: len(here.delivered()) >= MESSAGES // share, PATIENCE)  # type: ignore[misc]
        os.kill(running.pids()[0], signal.SIGKILL)
        until(lambda: len(running.pids()) == 2, PATIENCE)
    running.end()
    assert acknowledged(nats, stream, sent) <= here.delivered() | here.kept()
    here.start()
    until(lambda: here.delivered() == set(sent), PATIENCE)
    until(lambda: unacknowledged(nats, stream) == 0, PATIENCE)


def test_what_nats_has_and_nobody_can_read_is_kept(
    nats: Nats, stream: str, house: Callable[..., House]
) -> None:
    here = house(nats_settings(nats, stream))
    publish(nats, stream, b"no message", message(1))
    here.start()
    until(lambda: len(here.letters()) == 1 and here.delivered() == {"M000001"}, PATIENCE)
    until(lambda: unacknowledged(nats, stream) == 0, PATIENCE)


def test_a_trace_that_came_through_nats_goes_on(
    nats: Nats, stream: str, house: Callable[..., House]
) -> None:
    here = house(nats_settings(nats, stream))
    publish(nats, stream, message(1), traceparent=TRACEPARENT)
    here.start()
    until(lambda: len(here.web.seen) == 1, PATIENCE)
    [(_, headers, _)] = here.web.seen
    assert headers["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]


def test_a_nats_that_dies_and_comes_again_is_read_again(
    nats: Nats, stream: str, house: Callable[..., House]
) -> None:
    here = house(nats_settings(nats, stream))
    publish(nats, stream, message(1))
    running = here.start()
    until(lambda: here.delivered() == {"M000001"}, PATIENCE)
    nats.stop()
    running.until_logged("nats cannot be read")
    nats.start()
    publish(nats, stream, message(2))
    until(lambda: here.delivered() == {"M000001", "M000002"}, PATIENCE)


# settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kafka": {"enabled": True, "brokers": "here:9092"}}, "needs at least one"),
        ({"kafka": {"enabled": True, "topics": ["a"]}}, "expected host:port"),
        ({"nats": {"enabled": True, "brokers": "here:4222"}}, "needs the name"),
        (
            {
                "nats": {"enabled": True, "brokers": "here:4222", "stream": "A"},
                "workflow": {"dlq_enabled": False},
            },
            "has to be kept",
        ),
    ],
)
def test_what_is_wrong_is_told_at_the_start(
    tmp_path: Path, settings: dict[str, Any], text: str
) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path / "config.yaml"), {}, {})
    assert text in str(caught.value)
