"""One broker of each kind for all tests that leave it as it is, and certificates for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import RABBIT, Kafka, Nats, Rabbit, folder, needs, needs_kafka
from tests.process.pki import NAMES, authority, issue


@pytest.fixture(scope="session")
def pki() -> Iterator[Path]:
    with folder("pki") as where:
        authority(where, "ca")
        issue(where, "server", "ca", NAMES)
        yield where


@pytest.fixture(scope="session")
def kafka(pki: Path) -> Iterator[Kafka]:
    needs_kafka()
    with folder("kafka") as where:
        broker = Kafka(where, pki)
        yield broker
        broker.stop()


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    needs("nats-server")
    with folder("nats") as where:
        broker = Nats(where)
        yield broker
        broker.stop()


@pytest.fixture(scope="session")
def rabbit(pki: Path) -> Iterator[Rabbit]:
    needs(RABBIT)
    with folder("rabbit") as where:
        broker = Rabbit(where, pki)
        yield broker
        broker.remove()
