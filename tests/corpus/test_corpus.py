"""Real messages of real feeds: what their readers must make of them, judged without our code.

A hang fails through pytest's timeout. Failures name the file, never what is in it.
"""

from collections.abc import Iterator
from types import ModuleType

import pytest

from fifhir import extract, intake
from fifhir.batch import split
from fifhir.errors import MessageError
from fifhir.event import Event, LabResult, encode, event_type
from fifhir.event.observation import Observation
from tests.corpus.conftest import FEED, REFUSED, Case, Naive, Read, naive
from tests.twins import TOKENIZERS, built, door_or_skip, observe

GIVEN = ("id", "received", "source", "hl7v2", "profile", "segments")
TYPES = {
    "ADT^A01": "patient_admit",
    "ADT^A02": "patient_transfer",
    "ADT^A03": "patient_discharge",
    "ADT^A04": "patient_admit",
    "ADT^A08": "patient_update",
    "ADT^A18": "patient_merge",
    "ADT^A31": "person_update",
    "ADT^A34": "patient_merge",
    "ADT^A40": "patient_merge",
    "ADT^A45": "patient_merge",
    "ORU^R01": "lab_result",
    "DFT^P03": "financial_transaction",
    "DFT^P11": "financial_transaction",
    "MDM^T02": "document_original",
    "MDM^T03": "document_status_change",
    "MDM^T06": "document_addendum",
    "MDM^T10": "document_replacement",
    "PPR^PC1": "problem_add",
    "RDS^O13": "medication_dispensed",
    "QBP^Q22": "query",
    "RSP^K22": "query_response",
    "SIU^S12": "appointment_scheduled",
    "SIU^S15": "appointment_cancelled",
    "SIU^S26": "appointment_noshow",
    "VXU^V04": "immunization",
}
# Message types whose event the control code of the first order names (ORC-1).
NOUNS = {"ORM": "order", "OML": "lab", "OMP": "medication", "RDE": "medication"}
CONTROLS = {
    "CA": "cancelled",
    "DC": "discontinued",
    "HD": "held",
    "RL": "released",
    "RO": "changed",
    "RP": "changed",
    "SC": "status_change",
    "XO": "changed",
}
# What every file is read as, beside the event it is.
BODIES = ("patient_discharge", "patient_merge", "lab_result")


def test_every_file_gives_events_or_message_errors(cases: list[Case]) -> None:
    for case in cases:
        for piece in split(case.data):
            try:
                assert encode(intake.read(piece, FEED)), case.name
            except MessageError:
                continue


def test_every_message_gives_an_event(messages: list[Case]) -> None:
    """Admissions and the like without a PID apart: they are about nobody."""
    refused = {}
    for name, _, data in messages:
        for piece in split(data):
            try:
                intake.read(piece, FEED)
            except MessageError as refusal:
                is_of_nobody = naive(data).kind[:3] == "ADT" and not naive(data).named("PID")
                if refusal.reason != "missing_segment" or not is_of_nobody:
                    refused[name] = refusal.reason
    assert refused.keys() == REFUSED.keys()


def test_the_message_type_decides_the_event(read: list[Read]) -> None:
    seen = set()
    for name, message, event in read:
        wanted = TYPES.get(message.kind) or _wanted(message)
        if wanted is None or len(message.named("PID")) > 1:
            continue
        assert event_type(event) == wanted, name
        seen.add(message.kind)
    assert seen >= TYPES.keys()


def _wanted(message: Naive) -> str | None:
    """The event of an order, by the control code of the first one."""
    noun = NOUNS.get(message.kind[:3])
    orders = message.named("ORC") or [[""]]
    control = _part(orders[0][1], message.component, 0) if len(orders[0]) > 1 else ""
    plain = {"order": "order_placed", "lab": "lab_ordered", "medication": "medication_request"}
    return noun and (f"{noun}_{CONTROLS[control]}" if control in CONTROLS else plain[noun])


def _plain(value: str) -> str:
    return "" if value == '""' else value


def _part(value: str, delimiter: str, n: int) -> str:
    parts = value.split(delimiter)
    return parts[n] if n < len(parts) else ""


def _with_patient(read: list[Read]) -> Iterator[tuple[str, Naive, Event, list[str]]]:
    for name, message, event in read:
        if event_type(event) == "unmapped_message" or r"\&" not in message.segments[0][1]:
            continue
        fields = (message.named("PID") or [[]])[0]
        if fields and "\\" not in "".join(fields):
            yield name, message, event, [*fields, *[""] * 40]


def test_the_patients_name_is_that_of_a_naive_split(read: list[Read]) -> None:
    seen = 0
    for name, message, event, pid in _with_patient(read):
        sent = pid[5].split("~")[0]
        family = _part(_part(sent, message.component, 0), "&", 0)
        given = _part(_part(sent, message.component, 1), "&", 0)
        patient = getattr(event, "patient", None)
        if patient:
            assert (patient.family_name or "") == _plain(family), name
            assert (patient.given_name or "") == _plain(given), name
            seen += 1
    assert seen > 500


def test_the_patients_identifiers_are_those_of_a_naive_split(read: list[Read]) -> None:
    seen = 0
    for name, message, event, pid in _with_patient(read):
        sent = [_part(cx, message.component, 0) for cx in pid[3].split("~")]
        wanted = [_plain(_part(value, "&", 0)) for value in sent if value]
        patient = getattr(event, "patient", None)
        if patient:
            told = [found.value or "" for found in patient.identifiers.identifiers]
            assert [value for value in told if value] == [v for v in wanted if v], name
            seen += len(wanted)
    assert seen > 500


def _results(event: LabResult) -> list[Observation]:
    """All results, whosever they are."""
    return [*event.results, *(result for each in event.patients for result in each.results)]


def test_results_are_as_many_as_observations_and_in_their_order(read: list[Read]) -> None:
    seen = 0
    for name, message, event in read:
        if not isinstance(event, LabResult) or r"\&" not in message.segments[0][1]:
            continue
        observations, results = message.named("OBX"), _results(event)
        assert len(results) == len(observations), name
        for fields, result in zip(observations, results, strict=True):
            sent = fields[5] if len(fields) > 5 else ""
            if "\\" not in sent and fields[2] not in ("ED", "RP"):
                assert (result.result.value or "") == _plain(sent), name
            seen += 1
    assert seen > 2000


def test_every_observation_belongs_to_the_order_before_it(read: list[Read]) -> None:
    several = 0
    for name, message, event in read:
        if not isinstance(event, LabResult):
            continue
        assert len(event.orders) == len(message.named("OBR")), name
        names = [fields[0] for fields in message.segments if fields[0] in ("OBR", "OBX")]
        orders = [names[:at].count("OBR") - 1 for at, found in enumerate(names) if found == "OBX"]
        told = [result.order if isinstance(result.order, int) else -1 for result in event.results]
        assert told == orders, name
        several += len(event.orders) > 1
    assert several > 10


def test_an_unmapped_message_keeps_every_field(read: list[Read]) -> None:
    seen = 0
    for name, message, event in read:
        if event_type(event) != "unmapped_message" or len(message.named("PID")) > 1:
            continue
        told = [segment.name for segment in event.segments]  # type: ignore[union-attr]
        assert told == [fields[0] for fields in message.segments], name
        for fields, segment in zip(message.segments[1:], event.segments[1:], strict=True):  # type: ignore[union-attr]
            sent = {str(n): value for n, value in enumerate(fields) if n and value}
            assert segment.fields == sent, name
        seen += 1
    assert seen


@pytest.fixture(scope="session")
def doors() -> list[ModuleType]:
    return [door_or_skip(tokenizer) for tokenizer in TOKENIZERS]


@pytest.mark.timeout(300)  # the plain twins take their time on a slow machine
def test_twins_agree_on_every_address_of_every_file(
    cases: list[Case], doors: list[ModuleType]
) -> None:
    for case in cases:
        if len(case.data) <= 20_000:
            python, compiled = (observe(door.Tokens, case.data) for door in doors)
            assert python == compiled, case.name


def _type_of(data: bytes) -> str:
    try:
        return event_type(intake.read(data, FEED))
    except MessageError:
        return "unmapped_message"


@pytest.mark.timeout(300)  # the plain twins take their time on a slow machine
def test_twins_build_the_same_from_every_file(cases: list[Case], doors: list[ModuleType]) -> None:
    for case in cases:
        if len(case.data) > 20_000:
            continue
        for plan in map(extract._PLANS.__getitem__, {*BODIES, _type_of(case.data)}):
            told = [built(door, case.data, (plan.slots, plan.node), GIVEN) for door in doors]
            assert told[0] == told[1], case.name
