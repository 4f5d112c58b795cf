"""Which routes an event takes: twenty with conditions, and two hundred by type beside five.

Each time the event is new, as in the daemon: what the conditions ask for is read out of its JSON.
"""

from collections.abc import Callable

from benchmarks import messages, rounds
from benchmarks.parse import FEED, FULL, QUICK
from benchmarks.rounds import Contender, repeat
from fifhir.event import EVENT_TYPES
from fifhir.intake import read_written
from fifhir.workflow.filter import Filter, Index
from fifhir.written import Written

# What routes of hospitals ask for; twice, with other values, that makes twenty.
CONDITIONS = (
    "event.patient.gender == '{}'",
    "event.encounter.class == '{}'",
    "has(event.patient.date_of_birth) && event.patient.date_of_birth < '19{}'",
    "event.encounter.location.unit in ['ICU', 'CCU', '{}']",
    "event.patient.mrn.startsWith('{}')",
    "event.encounter.class == 'E' && event.patient.gender == '{}'",
    "size(event.patient.identifiers.identifiers) > 1 && event.source != '{}'",
    "event.patient.identifiers.identifiers.exists(i, i.type == '{}')",
    "!has(event.encounter.id) || event.encounter.id == '{}'",
    "event.source == 'north' || event.source == '{}'",
)
VALUES = ("F", "I")


def measure(*, quick: bool) -> dict[str, object]:
    """The section `routing` of the results: microseconds an event for each workflow."""
    plan = QUICK if quick else FULL
    written = read_written(messages.SAMPLES[0].raw, FEED)
    contenders = [
        Contender(
            "20 routes with conditions", "", repeat(_finding(_conditional(written), written))
        ),
        Contender("5 routes by type", "", repeat(_finding(_typed(5, written), written))),
        Contender("200 routes by type", "", repeat(_finding(_typed(200, written), written))),
    ]
    with rounds.pinned(rounds.cores()[-1]) as affinity:
        rounds.run(contenders, plan.rounds, plan.seconds)
    five = contenders[1]
    return {
        "affinity": affinity,
        "rounds": plan.rounds,
        "rows": [
            {
                "name": each.name,
                "microseconds": round(each.median / 1e3, 3),
                "best_microseconds": round(each.best / 1e3, 3),
                "times_five": round(each.times(five), 3),
            }
            for each in contenders
        ],
    }


def _conditional(written: Written) -> Index[str]:
    texts = [each.format(value) for value in VALUES for each in CONDITIONS]
    return Index((Filter(event_type=written.type, condition=text), text) for text in texts)


def _typed(count: int, written: Written) -> Index[str]:
    """Routes of which one takes the event, for as many types as there are."""
    others = [name for name in EVENT_TYPES if name != written.type]
    names = [written.type, *(others * count)][:count]
    return Index((Filter(event_type=name), f"{name} {at}") for at, name in enumerate(names))


def _finding(index: Index[str], written: Written) -> Callable[[], object]:
    kind, identity, source, json = written.type, written.id, written.source, written.json
    return lambda: index.find(Written(kind, identity, source, json))
