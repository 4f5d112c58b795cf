"""Orders and what came of them: ServiceRequest, DiagnosticReport.

Everything of an order is known by its patient, the order's number at its facility and the position
of its OBR; without a number, by its place in the message.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fifhir.fhir import datatypes, observations, specimens
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import build, resource
from fifhir.fhir.vocabulary import CONCEPTS, MAPS, Json, is_listed, uri

_SECTIONS = "http://terminology.hl7.org/CodeSystem/v2-0074"
_LAB = {"coding": [{"system": _SECTIONS, "code": "LAB"}]}
_IMAGING = frozenset(
    {"CT", "CTH", "CUS", "IMG", "NMR", "NMS", "OUS", "RAD", "RUS", "RX", "VUS", "XRC"}
)
_REPORTED = (
    frozenset(  # us-core-8 and us-core-9: then a report says since when, and when it was made
        {"partial", "preliminary", "final", "amended", "corrected", "appended"}
    )
)
_REFLEX = "G"  # HL70065


class _Known(NamedTuple):
    """What identifies an order, and what its resources have in common."""

    identity: tuple[str, ...]
    based: list[Json]
    specimens: list[Json]
    is_imaging: bool
    time: str


def results(about: Json, maker: Maker) -> None:
    """Reports, one for each order that was filled, with their results, orders and specimens."""
    orders = about.get("orders") or []
    groups: dict[int | None, list[Json]] = {number: [] for number in range(len(orders))}
    for result in about.get("results") or []:
        groups.setdefault(result.get("order"), []).append(result)
    sent: dict[int | None, list[Json]] = {}
    for specimen in about.get("specimens") or []:
        sent.setdefault(specimen.get("order"), []).append(specimen)
    for number, group in groups.items():
        order = orders[number] if number is not None and number < len(orders) else {}
        _filled(number, order, group, sent.get(number, []), maker)


def requests(about: Json, maker: Maker) -> None:
    """Orders that nothing has come of yet, with what was sent along."""
    orders = about.get("orders") or []
    found = {}
    for number, order in enumerate(orders):
        identity = _identity(number, order, maker)
        if drug := order.get("medication_request"):
            maker.write("MedicationRequest", drug, identity)
        elif order.get("code") or order_numbers(order):
            found[number] = _requested(order, identity, maker)
    sent = about.get("specimens") or []
    shared = [*specimens.of_order({}, sent, (*maker.message, *maker.place), maker)]
    for reference in found.values() if shared else ():
        request = maker.resource(reference)
        request["specimen"] = [*request.get("specimen", []), *shared]


def _requested(order: Json, identity: tuple[str, ...], maker: Maker) -> str:
    reference = maker.write("ServiceRequest", order, identity)
    made = maker.resource(reference)
    if found := [*specimens.of_order(order, order.get("specimens") or [], identity, maker)]:
        made["specimen"] = found
    observed = [
        {"reference": maker.write("Exam", each, (*identity, str(at)))}
        for at, each in enumerate(order.get("observations") or ())
    ]
    if observed:
        made["supportingInfo"] = observed
    reasons = [maker.refer("Condition", each) for each in order.get("diagnoses") or ()]
    if found := [{"reference": each} for each in reasons if each]:
        made["reasonReference"] = found
    return reference


def _filled(
    number: int | None, order: Json, group: list[Json], sent: list[Json], maker: Maker
) -> None:
    known = _known(number, order, sent, maker)
    struct = "ImagingObservation" if known.is_imaging else "LabObservation"
    made = [
        reference
        for at, result in enumerate(group)
        if not observations.is_document(result)
        for reference in [_result(struct, result, at, known, maker)]
    ]
    _report(order, group, made, known, maker)


def _known(number: int | None, order: Json, sent: list[Json], maker: Maker) -> _Known:
    identity = _identity(number, order, maker)
    based = []
    found = [*specimens.of_order(order, sent, identity, maker)]
    if order:
        reference = maker.write("ServiceRequest", _asked(order), identity)
        based = [{"reference": reference}]
        if found:
            maker.resource(reference)["specimen"] = found
    section = order.get("diagnostic_service")
    time = order.get("observation_time") or ""
    return _Known(identity, based, found, section in _IMAGING, time)


def _identity(number: int | None, order: Json, maker: Maker) -> tuple[str, ...]:
    place = order.get("filler_order_number") or order.get("placer_order_number")
    if place:
        return maker.patient, maker.facility, str(place), str(order.get("set_id") or number)
    return *maker.message, *maker.place, str(number)


def _asked(order: Json) -> Json:
    """What was asked for (ORC) beside what was done: OBR-25 is no status of the request."""
    request = order.get("request")
    return {**order, "status": ""} | request if request else {**order, "status": ""}


def service_request(given: Json, maker: Maker) -> Json:
    """US Core ServiceRequest: what was ordered (ORC, OBR)."""
    made = resource("ServiceRequest", given, maker)
    if identifiers := order_numbers(given):
        made["identifier"] = identifiers
    if "code" not in made:
        made["code"] = datatypes.absent("unknown")
    made["status"] = status(given, maker)
    is_reflex = _REFLEX in (given.get("action"), given.get("specimen_action"))
    made["intent"] = "reflex-order" if is_reflex else "order"
    if requester := _requester(given, maker):
        made["requester"] = {"reference": requester}
    if label := _confidential(given.get("confidentiality"), maker):
        made["meta"]["security"] = [label]
    if place := datatypes.concept("order_type", given.get("order_type"), maker):
        made["locationCode"] = [place]
    if timing := next(iter(given.get("timings") or ()), None):
        _timed(made, timing, maker)
    return made


def _confidential(value: Any, maker: Maker) -> Json | None:
    """ORC-28 as a security label."""
    code = value if isinstance(value, str) else ((value or {}).get("coding") or [{}])[0].get("code")
    made = datatypes.concept("confidentiality", code, maker)
    return made["coding"][0] if made and "coding" in made else None


def _timed(made: Json, timing: Json, maker: Maker) -> None:
    """TQ1: how much, when and how often; a start alone is an occurrence at that time."""
    quantity = datatypes.quantity(timing.get("quantity"), timing.get("quantity_units"), maker)
    if quantity:
        made["quantityQuantity"] = quantity
    if said := datatypes.notes(timing.get("instruction"), maker):
        made["note"] = made.get("note", []) + said
    if found := build("Timing", timing, maker):
        made.pop("occurrenceDateTime", None)
        made["occurrenceTiming"] = timing_of(found)


def timing_of(found: Json) -> Json:
    """A Timing: a duration needs its unit (tim-1), a pattern no code of FHIR's is text."""
    repeat = found.get("repeat", {})
    if "duration" in repeat and "durationUnit" not in repeat:
        del repeat["duration"]
    if "durationUnit" in repeat and "duration" not in repeat:
        del repeat["durationUnit"]
    return {key: value for key, value in found.items() if value}


def status(given: Json, maker: Maker) -> str:
    """ORC-5 says what an order's status is, else the control code (ORC-1) means one."""
    if found := datatypes.mapped("order_status", given.get("status"), maker):
        return found.code
    meant = MAPS["order_control"].get(str(given.get("control") or ""))
    return (meant.code if meant else "") or "unknown"


def order_numbers(given: Json) -> list[Json]:
    """The numbers an order has at who placed it and who fills it."""
    types = CONCEPTS["identifier_type"]
    found = []
    for kind, who in (("PLAC", "placer"), ("FILL", "filler")):
        number, system = given.get(f"{who}_order_number"), given.get(f"{who}_assigner")
        if isinstance(number, str) and (number := number.strip()):
            made: Json = {"type": types[kind]}
            if system:
                made["system"] = uri(system)
            found.append(made | {"value": number})
    return found


def _requester(given: Json, maker: Maker) -> str:
    """Who ordered (ORC-12, OBR-16), for which facility (ORC-21) and to be reached how (OBR-17)."""
    person, facility = given.get("ordering_provider"), given.get("ordering_facility")
    if person and (address := given.get("ordering_provider_address")):
        person = {**person, "address": address}
    if facility:
        phones = given.get("ordering_facility_phones") or given.get("ordering_facility_phone")
        more = {
            "address": given.get("ordering_facility_address"),
            "phones": [phones] if isinstance(phones, dict) else phones,
        }
        facility = {**facility, **{key: value for key, value in more.items() if value}}
    phones = given.get("call_back_phones")
    if person and (facility or phones):
        role = {"person": person, "organization": facility, "phones": phones}
        return maker.refer("OrderingRole", {key: each for key, each in role.items() if each})
    return maker.refer("Practitioner", person) or maker.refer("Organization", facility)


def _result(struct: str, result: Json, at: int, known: _Known, maker: Maker) -> str:
    code = ((result.get("test") or {}).get("code") or {}).get("coding") or [{}]
    place = (str(result.get("set_id") or at), str(result.get("sub_id") or ""))
    codes = [code[0]["code"]] if code[0].get("code") else []
    reference = maker.write(struct, result, (*known.identity, *place, *codes))
    made = maker.resource(reference)
    if known.based:
        made["basedOn"] = known.based
    if len(known.specimens) == 1:
        made["specimen"] = known.specimens[0]
    if known.time and "effectiveDateTime" not in made:
        made["effectiveDateTime"] = datatypes.when(known.time, maker)
    return reference


def _report(order: Json, group: list[Json], made: list[str], known: _Known, maker: Maker) -> None:
    reference = maker.write("DiagnosticReport", {**order, "results": group}, known.identity)
    report = maker.resource(reference)
    if made:
        report["result"] = [{"reference": each} for each in made]
    if known.based:
        report["basedOn"] = known.based
    if known.specimens:
        report["specimen"] = known.specimens


def report(given: Json, maker: Maker) -> Json:
    """US Core DiagnosticReport for laboratory results: one for each order that was filled."""
    made, group = resource("DiagnosticReport", given, maker), given["results"]
    section = given.get("diagnostic_service")
    made["category"] = [] if section in _IMAGING else [_LAB]
    if section in _IMAGING:
        del made["meta"]
    if section and section != "LAB" and is_listed(_SECTIONS, section):
        made["category"] = [*made["category"], {"coding": [{"system": _SECTIONS, "code": section}]}]
    if "status" not in made:
        made["status"] = _report_status(group)
    if "code" not in made:
        made["code"] = datatypes.absent("unknown")
    if identifiers := order_numbers(given):
        made["identifier"] = identifiers
    made["performer"] = [{"reference": maker.sender}, *_people(given, _PERFORMERS, maker)]
    if interpreters := [*_people(given, ("interpreter",), maker)]:
        made["resultsInterpreter"] = interpreters
    if documents := [*_documents(group)]:
        made["presentedForm"] = documents
    _request(made, given.get("request") or {}, maker)
    _dated(made, given, group, maker)
    return made


def _request(made: Json, request: Json, maker: Maker) -> None:
    """What the ORC says beside the OBR: its group, its reason (ORC-16), who may read it."""
    if group := datatypes.numbered("", request.get("placer_group_number"), maker):
        made["identifier"] = made.get("identifier", []) + group
    if reason := datatypes.codeable(request.get("control_reason"), maker):
        made["extension"] = [{"url": _STATUS_REASON, "valueCodeableConcept": reason}]
    if label := _confidential(request.get("confidentiality"), maker):
        made.setdefault("meta", {})["security"] = [label]


_STATUS_REASON = "http://hl7.org/fhir/StructureDefinition/event-statusReason"
_PERFORMERS = ("assistants", "technicians", "transcriptionists")


def _people(given: Json, keys: tuple[str, ...], maker: Maker) -> Iterator[Json]:
    """OBR-32 to OBR-35: number&family&given, repeated (NDL.1)."""
    for key in keys:
        for each in str(given.get(key) or "").split("~"):
            parts = [*(part.strip() for part in each.partition("^")[0].split("&")), "", "", ""]
            person = dict(zip(("id", "family_name", "given_name"), parts, strict=False))
            said = {key: value for key, value in person.items() if value}
            if reference := maker.refer("Practitioner", said):
                yield {"reference": reference}


def _documents(group: list[Json]) -> Iterator[Json]:
    for result in group:
        title = (result.get("test") or {}).get("description")
        for each in (result.get("result") or {}).get("attachments") or ():
            if made := observations.attachment(each):
                yield made | ({"title": title} if title else {})


def _dated(made: Json, given: Json, group: list[Json], maker: Maker) -> None:
    """OBR-7 to OBR-8, else the time of a result; that it is not known is said where asked for."""
    start = datatypes.when(given.get("observation_time"), maker)
    end = datatypes.when(given.get("observation_end_time"), maker)
    if end and (start is None or datatypes.in_order(start, end)):
        made["effectivePeriod"] = {"start": start, "end": end} if start else {"end": end}
    elif start:
        made["effectiveDateTime"] = start
    else:
        times = ((each.get("result") or {}).get("observation_time") for each in group)
        if time := datatypes.when(next(filter(None, times), ""), maker):
            made["effectiveDateTime"] = time
    if made["status"] not in _REPORTED:
        return
    if not {"effectivePeriod", "effectiveDateTime"} & made.keys():
        made["_effectiveDateTime"] = datatypes.absent("unknown")
    if "issued" not in made:
        made["_issued"] = datatypes.absent("unknown")


def _report_status(results: list[Json]) -> str:
    """OBR-25 is absent: final if every result is."""
    sent = {(each.get("result") or {}).get("status") for each in results}
    statuses = MAPS["observation_status"]
    meant = {statuses[code].code if code in statuses else "" for code in sent}
    return (meant.pop() if len(meant) == 1 else "") or "unknown"
