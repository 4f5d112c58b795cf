"""What a worker takes from brokers, as the settings say; the libraries are read in when needed."""

from typing import Protocol

from fifhir.ingress.duty import Duty
from fifhir.ingress.taking import Taker
from fifhir.journal import Journal
from fifhir.scoreboard import Slab
from fifhir.signs import Signs
from fifhir.store import Store


class Consumer(Protocol):
    """Takes messages from one broker until it is drained."""

    async def drain(self, seconds: float) -> None: ...


def serve(
    duty: Duty, slab: Slab, signs: Signs, store: Store | None, journal: Journal | None
) -> list[Consumer]:
    """Messages are taken from every broker that is enabled, on the running loop."""
    made: list[Consumer] = []
    kafka, nats, catalogue = duty.settings.kafka, duty.settings.nats, duty.board.catalogue
    if store is None:  # the settings have been told: what cannot be read has to be kept
        return made
    if kafka.enabled:
        from fifhir.ingress.kafka import Consumer as Kafka  # noqa: PLC0415 - needs an extra

        taker = Taker("kafka", kafka, kafka.source, duty, slab, signs, store, journal)
        made.append(Kafka(kafka, taker, slab, catalogue, duty.log))
    if nats.enabled:
        from fifhir.ingress.nats import Consumer as Nats  # noqa: PLC0415 - needs an extra

        taker = Taker("nats", nats, nats.source, duty, slab, signs, store, journal)
        made.append(Nats(nats, taker, slab, catalogue, duty.log))
    return made
