"""Bytes to event to JSON, and eight fields out of a message, beside the peers and the floor."""

import json
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import floor, messages, peers, rounds
from benchmarks.rounds import Contender, repeat
from fifhir.event import encode
from fifhir.intake import Feed, read, read_json
from fifhir.message import TOKENIZER, open_message

FEED = Feed()


class Plan(NamedTuple):
    """How many rounds, and about how many seconds a contender has in each."""

    rounds: int
    seconds: float


QUICK = Plan(rounds=3, seconds=0.01)
FULL = Plan(rounds=15, seconds=0.05)


def _event(sample: messages.Sample) -> Callable[[], object]:
    raw = sample.raw
    return lambda: read_json(raw, FEED)


def _struct(sample: messages.Sample) -> Callable[[], object]:
    raw = sample.raw
    return lambda: encode(read(raw, FEED))


def _fields(sample: messages.Sample) -> Callable[[], list[str | None]]:
    raw = sample.raw
    wanted = tuple(sample.wanted)

    def work() -> list[str | None]:
        get = open_message(raw).get
        return [get(where) for where in wanted]

    return work


def measure(*, quick: bool) -> dict[str, object]:
    """The section `parse` of the results: every figure of every contender, message by message."""
    library = floor.build()
    plan = QUICK if quick else FULL
    with rounds.pinned(rounds.cores()[-1]) as affinity:
        found = [_sample(each, floor.Floor(library, each.raw), plan) for each in messages.SAMPLES]
    return {
        "tokenizer": TOKENIZER,
        "affinity": affinity,
        "rounds": plan.rounds,
        "not_run": [missing._asdict() for missing in found[0][1]],
        "messages": [section for section, _ in found],
    }


def _sample(
    sample: messages.Sample, yardstick: floor.Floor, plan: Plan
) -> tuple[dict[str, object], list[peers.Missing]]:
    whole, fields, missing = peers.contenders(sample)
    event = Contender("fi-fhir", "event as JSON", repeat(_event(sample)))
    struct = Contender("fi-fhir structs", "event, then JSON", repeat(_struct(sample)))
    opened = Contender("fi-fhir", "open + 8 fields", repeat(_fields(sample)))
    bottom = Contender("C floor", "JSON, no objects", yardstick.run)
    if _fields(sample)() != list(sample.wanted.values()):
        raise RuntimeError(f"fi-fhir does not read the {sample.name} as it was sent")
    rounds.run([event, struct, bottom, opened, *whole, *fields], plan.rounds, plan.seconds)
    section = {
        "name": sample.name,
        "bytes": len(sample.raw),
        "json_bytes": len(encode(read(sample.raw, FEED))),
        "floor_leaves": sum(map(len, json.loads(yardstick.json()))),
        "whole": [_row(each, event, sample) for each in (event, struct, bottom, *whole)],
        "fields": [_row(each, opened, sample) for each in (opened, *fields)],
    }
    return section, missing


def _row(contender: Contender, ours: Contender, sample: messages.Sample) -> dict[str, object]:
    return {
        "name": contender.name,
        "makes": contender.makes,
        "microseconds": round(contender.median / 1e3, 3),
        "best_microseconds": round(contender.best / 1e3, 3),
        "messages_per_second": round(1e9 / contender.median),
        "best_messages_per_second": round(1e9 / contender.best),
        "megabytes_per_second": round(1e3 * len(sample.raw) / contender.median, 1),
        "times_ours": round(contender.times(ours), 3),
    }
