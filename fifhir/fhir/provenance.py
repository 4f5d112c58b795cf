"""The message itself: Provenance of all that was made of it, and MessageHeader."""

from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import resource
from fifhir.fhir.vocabulary import Json, is_listed, uri

_RECEIVER = (
    *("receiving_application", "receiving_facility"),
    *("receiving_organization", "receiving_address"),
)
_SECURITY = (
    ("confidentiality", "http://terminology.hl7.org/CodeSystem/v2-0952"),
    ("handling", "http://terminology.hl7.org/CodeSystem/v2-0953"),
)
_AGENTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_EVENTS = "http://terminology.hl7.org/CodeSystem/v2-0003"
_OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_ANSWERS = {"AA": "ok", "CA": "ok"}  # HL70008; all others are errors that will not go away
_REASONS = "http://terminology.hl7.org/CodeSystem/v2-0062"
_PURPOSE = {"P": "", "T": "HTEST", "D": "HTEST"}  # HL70103
_TAGS = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_PEOPLE = (  # ORC-10, ORC-11, ORC-12, ORC-19
    *(("entered_by", "enterer"), ("verified_by", "verifier")),
    *(("ordering_provider", "author"), ("action_by", "performer")),
)


def provenance(given: Json, maker: Maker) -> Json:
    """Which message all of it came from, when, and at whose hands (MSH, EVN, ORC)."""
    occurrence = given.get("occurrence") or {}
    made: Json = {"resourceType": "Provenance", "id": ""}
    made["target"] = [{"reference": each["fullUrl"]} for each in maker.entries]
    if occurred := datatypes.when(occurrence.get("occurred_at"), maker):
        made["occurredDateTime"] = occurred
    made |= _recorded(given, occurrence, maker)
    if place := maker.refer("Location", {"description": occurrence.get("facility")}):
        made["location"] = {"reference": place}
    if reason := _reason(occurrence.get("reason")):
        made["reason"] = [reason]
    if trigger := (given.get("header") or {}).get("trigger_event"):
        made["activity"] = {"coding": [{"system": _EVENTS, "code": trigger}]}
    made["agent"] = _agents(given, occurrence, maker)
    made["entity"] = [{"role": "source", "what": {"identifier": {"value": maker.control_id}}}]
    return made


def _recorded(given: Json, occurrence: Json, maker: Maker) -> Json:
    """EVN-2, else MSH-7; where neither is known to the second, when it was received, if at all."""
    times = (
        occurrence.get("recorded_at"),
        (given.get("header") or {}).get("sent_at"),
        given.get("received_at"),
    )
    known = next(filter(None, (datatypes.instant(each, maker) for each in times)), None)
    return {"recorded": known} if known else {"_recorded": datatypes.absent("unknown")}


def _reason(code: Any) -> Json | None:
    """EVN-4; that it is unknown is no reason."""
    said = code.strip() if isinstance(code, str) else ""
    if is_listed(_REASONS, said):
        return {"coding": [{"system": _REASONS, "code": said}]}
    return {"text": said} if said else None


def _agents(given: Json, occurrence: Json, maker: Maker) -> list[Json]:
    sender = {"type": _kind("author"), "who": {"reference": maker.sender}}
    found = {maker.sender: sender}
    responsible = _named(given.get("header") or {}, "responsible_organization")
    if owner := maker.refer("Organization", responsible):
        found[owner] = {"type": _kind("author"), "who": {"reference": owner}}
    if operator := maker.refer("Practitioner", occurrence.get("operator")):
        found[operator] = _agent("enterer", operator, maker)
    for person in (given.get("appointment") or {}).get("entered_by") or ():
        if reference := maker.refer("Practitioner", person):
            found.setdefault(reference, _agent("enterer", reference, maker))
    for order in given.get("orders") or ():
        said = {**order, **(order.get("request") or {})}
        for key, kind in _PEOPLE:
            if key in said and (person := maker.refer("Practitioner", said[key])):
                found.setdefault(person, _agent(kind, person, maker))
    return list(found.values())


def _agent(kind: str, who: str, maker: Maker) -> Json:
    """Provenance.agent of US Core: a person acts on behalf of an organization."""
    on_behalf = {"reference": maker.sender}
    return {"type": _kind(kind), "who": {"reference": who}, "onBehalfOf": on_behalf}


def _kind(code: str) -> Json:
    return {"coding": [{"system": _AGENTS, "code": code}]}


def patient_provenance(given: Json, maker: Maker) -> Json:
    """Who brought a patient's record up to date, and when (PID-33, PID-34)."""
    who = maker.refer("Organization", {"name": given.get("last_updated_by")}) or maker.sender
    made: Json = {"resourceType": "Provenance", "id": ""}
    made["target"] = [{"reference": maker.patient}]
    if time := datatypes.when(given.get("last_updated"), maker):
        made["occurredDateTime"] = time
    made |= _recorded(maker.event, maker.event.get("occurrence") or {}, maker)
    made["activity"] = {"coding": [{"system": _OPERATIONS, "code": "UPDATE"}]}
    made["agent"] = [{"type": _kind("performer"), "who": {"reference": who}}]
    return made


def message_header(given: Json, maker: Maker) -> Json:
    """MessageHeader: what the message says of itself (MSH), first in a message bundle."""
    header = given.get("header") or {}
    made = resource("MessageHeader", header, maker)
    trigger = header.get("trigger_event") or "unknown"
    made["eventCoding"] = {"system": _EVENTS, "code": trigger}
    application = header.get("sending_application") or maker.facility
    endpoint = uri(header.get("sending_address") or application)
    made["source"] = {"name": application, "endpoint": endpoint}
    made["sender"] = {"reference": maker.sender}
    if responsible := maker.refer("Organization", _named(header, "responsible_organization")):
        made["responsible"] = {"reference": responsible}
    if any(header.get(key) for key in _RECEIVER):
        made["destination"] = [_destination(header, maker)]
    if meta := _labels(header):
        made["meta"] = meta
    if answered := given.get("acknowledged"):
        code = _ANSWERS.get(str(answered.get("code")), "fatal-error")
        number = answered.get("control_id") or "unknown"
        made["response"] = {"identifier": number, "code": code}
    said = (datatypes.language(header.get("language"), maker) or [{}])[0].get("language", {})
    if "coding" in said:
        made["language"] = said["coding"][0]["code"]
    if patients := [each["fullUrl"] for each in maker.entries if _is_patient(each)]:
        made["focus"] = [{"reference": each} for each in patients]
    return made


def _named(header: Json, *keys: str) -> Json | None:
    """An organization that a header names, by the first of the keys that it has."""
    name = next(filter(None, map(header.get, keys)), None)
    return {"name": name} if name else None


def _labels(header: Json) -> Json:
    """What for (MSH-11), and who may see it (MSH-8, MSH-26, MSH-27)."""
    made: Json = {}
    if purpose := _PURPOSE.get(str(header.get("processing_id") or "P")[:1]):
        made["tag"] = [{"system": _TAGS, "code": purpose}]
    security = [{"display": header["security"]}] if header.get("security") else []
    security += [
        {"system": system, "code": header[key]} for key, system in _SECURITY if header.get(key)
    ]
    return made | ({"security": security} if security else {})


def _destination(header: Json, maker: Maker) -> Json:
    names = [header[key] for key in _RECEIVER if header.get(key)]
    made: Json = {"name": names[0], "endpoint": uri(header.get("receiving_address") or names[0])}
    named = _named(header, "receiving_organization", "receiving_facility")
    if facility := maker.refer("Organization", named):
        made["receiver"] = {"reference": facility}
    return made


def _is_patient(entry: Json) -> bool:
    return bool(entry["resource"]["resourceType"] == "Patient")
