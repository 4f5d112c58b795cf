"""Event to FHIR bundle as JSON, beside the parse that made the event and beside fhir.resources.

fhir.resources makes models of what we have made and writes them again: it maps nothing, so it is
what the same bundle costs whoever builds it with models.
"""

import importlib
import json
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks import messages, rounds
from benchmarks.parse import FEED, FULL, QUICK
from benchmarks.rounds import Contender, repeat
from fifhir.fhir.bundle import to_bundle
from fifhir.intake import read_json

PEER = "fhir.resources"
SAMPLES = tuple(each for each in messages.SAMPLES if each.name in {"ADT", "ORU"})


def measure(*, quick: bool) -> dict[str, object]:
    """The section `fhir` of the results: every figure of every contender, message by message."""
    plan = QUICK if quick else FULL
    peer, reason = _peer()
    with rounds.pinned(rounds.cores()[-1]) as affinity:
        found = [_sample(each, peer, plan.rounds, plan.seconds) for each in SAMPLES]
    return {
        "affinity": affinity,
        "rounds": plan.rounds,
        "not_run": [{"package": PEER, "reason": reason}] if reason else [],
        "messages": found,
    }


def _peer() -> tuple[Any, str]:
    try:
        return importlib.import_module("fhir.resources.R4B.bundle").Bundle, ""
    except ImportError as fault:
        return None, str(fault)


def _sample(sample: messages.Sample, peer: Any, count: int, seconds: float) -> dict[str, object]:
    _, written, _ = read_json(sample.raw, FEED)
    event = msgspec.json.decode(written)
    bundle = to_bundle(event).bundle
    ours = Contender("fi-fhir", "event to bundle as JSON", repeat(_bundle(event)))
    parse = Contender("fi-fhir parse", "message to event as JSON", repeat(_event(sample)))
    contenders = [ours, parse]
    if peer:
        contenders.append(Contender(PEER, "models of it, as JSON", repeat(_models(peer, bundle))))
    rounds.run(contenders, count, seconds)
    return {
        "name": sample.name,
        "bundle_bytes": len(_bundle(event)()),
        "resources": len(bundle["entry"]),
        "rows": [
            {
                "name": each.name,
                "makes": each.makes,
                "microseconds": round(each.median / 1e3, 3),
                "best_microseconds": round(each.best / 1e3, 3),
                "times_ours": round(each.times(ours), 3),
            }
            for each in contenders
        ],
    }


def _event(sample: messages.Sample) -> Callable[[], object]:
    raw = sample.raw
    return lambda: read_json(raw, FEED)


def _bundle(event: dict[str, Any]) -> Callable[[], bytes]:
    return lambda: msgspec.json.encode(to_bundle(event).bundle)


def _models(peer: Any, bundle: dict[str, Any]) -> Callable[[], str]:
    """RuntimeError if the models do not say what they were made of."""
    text = json.dumps(bundle)
    written = json.loads(peer.model_validate_json(text).model_dump_json())
    if len(written["entry"]) != len(bundle["entry"]):
        raise RuntimeError(f"{PEER} does not keep every entry")
    return lambda: peer.model_validate_json(text).model_dump_json()
