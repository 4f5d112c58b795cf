"""One event as one transaction that a server may get any number of times.

Ids are UUIDs (version 5, RFC 9562) of what identifies a thing to the outside: an identifier and who
assigned it, or where no identifier goes with it, the source, the message's control id and the
place in it. So the same message makes the same bytes, and two messages about one patient write
one Patient. References go by `urn:uuid:` and are the server's to resolve (http.html#trules).
"""

import hashlib
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from fifhir.fhir import clinical, datatypes, resources
from fifhir.fhir.datatypes import Json

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://gitlab.flexinfer.ai/libs/fi-fhir")
Strategy: TypeAlias = Literal["put", "conditional_create", "conditional_update"]
_IDENTIFIED = frozenset({"Patient", "Practitioner"})  # US Core asks for an identifier
_URN = "urn:uuid:"
OWN = "https://gitlab.flexinfer.ai/libs/fi-fhir/id"  # the system of identifiers made here


_ROLE_TYPES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ROLES = (
    ("attending_provider", "ATND", "attender"),
    ("referring_provider", "REF", "referrer"),
    ("consulting_provider", "CON", "consultant"),
    ("admitting_provider", "ADM", "admitter"),
)
_LISTS = (
    ("immunizations", clinical.immunization, "patient"),
    ("conditions", clinical.condition, "subject"),
    ("diagnoses", clinical.condition, "subject"),
    ("procedures", clinical.procedure, "subject"),
    ("allergies", clinical.allergy, "patient"),
)


class Issue(Struct, frozen=True):
    """Something of the event that FHIR could not be told; never a field's value."""

    code: str
    text: str
    resource: str


class Mapped(Struct, frozen=True):
    """The bundle, and what was left open in it."""

    bundle: Json
    issues: tuple[Issue, ...]


def to_bundle(event: Json, strategy: Strategy = "put") -> Mapped:
    """The transaction for an event. ValueError if the event has no patient to speak of."""
    if not any("patient" in each for each in (event, *event.get("patients", ()))):
        raise ValueError(f"an event of type {event.get('type')} has nothing FHIR could be told")
    maker = _Maker(event, strategy)
    maker.make()
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": maker.entries}
    return Mapped(bundle, tuple(dict.fromkeys(maker.issues)))


class _Maker:
    """Collects the entries of one event."""

    def __init__(self, event: Json, strategy: Strategy) -> None:
        self.event = event
        self.entries: list[Json] = []
        self.issues: list[Issue] = []
        self._strategy = strategy
        self._known: set[str] = set()
        self._now = ""
        header = event.get("header") or {}
        self._facility = header.get("sending_facility") or str(event.get("source"))
        self._authority = datatypes.uri(self._facility)
        self._source = str(event.get("source"))
        self._control_id = str(event.get("source_message_id") or "unknown")
        # By its bytes: some senders leave MSH-10 out, and others begin it anew.
        self._message: tuple[str, ...] = (self._source, str(event.get("id") or self._control_id))
        self._about = event

    def make(self) -> None:
        """Everything about the patient or, one after another, the patients of the event."""
        sender = self._sender()
        message = self._message
        patients = [self._subject(sender)] if "patient" in self.event else []
        for number, each in enumerate(self.event.get("patients") or (), 1):
            self._about, self._message = each, (*message, str(number))
            patients += [self._subject(sender)] if "patient" in each else []
        if self.event["type"] == "patient_link":
            self._link(patients)
        self._message = message
        self._provenance(sender)

    def _subject(self, sender: str) -> str:
        patient = self._patient("patient", resources.patient)
        encounter = self._encounter(patient, sender)
        if self._about.get("prior"):
            self._merge(patient)
        if self._about.get("results") or self._about.get("orders"):
            self._results(patient, encounter, sender)
        self._clinical(patient, encounter)
        return patient

    def _report(self, name: str, text: str) -> None:
        self.issues.append(Issue(name, text, self._now))

    def add(self, resource: Json, *identity: str) -> str:
        """The resource is in the bundle, once for each identity; the reference to it."""
        kind = resource["resourceType"]
        reference = _reference(kind, *identity)
        if reference not in self._known:
            self._known.add(reference)
            for each in resource.get("identifier", ()):
                each.setdefault("system", self._authority)
            if kind in _IDENTIFIED and "identifier" not in resource:
                resource["identifier"] = [_own(reference)]
            self.entries.append(self._entry(resource, reference))
        return reference

    def _entry(self, resource: Json, reference: str) -> Json:
        kind, number = resource["resourceType"], reference.removeprefix(_URN)
        if self._strategy == "put":
            request = {"method": "PUT", "url": f"{kind}/{number}"}
            return {
                "fullUrl": reference,
                "resource": {"resourceType": kind, "id": number} | resource,
                "request": request,
            }
        match = self._match(resource, reference)
        request = (
            {"method": "PUT", "url": f"{kind}?{match}"}
            if self._strategy == "conditional_update"
            else {"method": "POST", "url": kind, "ifNoneExist": match}
        )
        return {"fullUrl": reference, "resource": resource, "request": request}

    @staticmethod
    def _match(resource: Json, reference: str) -> str:
        """The search that finds the resource again: an identifier with a system."""
        if resource["resourceType"] == "Provenance":
            return f"_tag={OWN}|{reference.removeprefix(_URN)}"
        identifiers = resource.setdefault("identifier", [])
        for each in sorted(identifiers, key=_is_minor):
            if each.get("system") and each.get("value") and "|" not in each["value"]:
                return f"identifier={each['system']}|{each['value']}"
        identifiers.append(_own(reference))
        return f"identifier={OWN}|{reference.removeprefix(_URN)}"

    def _patient(self, key: str, function: Any) -> str:
        given = self._about[key]
        self._now = "Patient"
        made = function(given, self._report)
        return self.add(made, *self._identity(made, key))

    def _identity(self, made: Json, *place: str) -> tuple[str, ...]:
        """What identifies it outside: the first identifier and its authority, else its place.

        An identifier that names no authority is the sending facility's, as `add` says too.
        """
        for each in sorted(made.get("identifier", ()), key=_is_minor):
            if each.get("value"):
                return str(each.get("system") or self._authority), str(each["value"])
        return (*self._message, *place)

    def _sender(self) -> str:
        return self.add(resources.organization(self._facility), self._facility)

    def _encounter(self, patient: str, sender: str) -> str | None:
        given = self._about.get("encounter")
        if not given or not (given.get("id") or given.get("class")):
            return None
        self._now = "Encounter"
        made = resources.encounter(given, self.event["type"], self._report)
        made["subject"] = {"reference": patient}
        made["serviceProvider"] = {"reference": sender}
        if participants := list(self._participants(given)):
            made["participant"] = participants
        if places := list(self._places(given)):
            made["location"] = places
        return self.add(made, *self._identity(made, "encounter"), patient)

    def _participants(self, given: Json) -> Iterator[Json]:
        for key, code, display in _ROLES:
            if reference := self._provider(given.get(key)):
                coding = {"system": _ROLE_TYPES, "code": code, "display": display}
                yield {"type": [{"coding": [coding]}], "individual": {"reference": reference}}

    def _provider(self, given: Any) -> str | None:
        if not isinstance(given, dict):
            return None
        self._now = "Practitioner"
        made = resources.practitioner(given, self._report)
        if made is None:
            return None
        name = made["name"][0]
        return self.add(
            made, *self._identity(made, str(name.get("family")), *name.get("given", ()))
        )

    def _places(self, given: Json) -> Iterator[Json]:
        for key, status in (("location", "active"), ("prior_location", "completed")):
            place = given.get(key)
            made = resources.location(place) if isinstance(place, dict) else None
            if made:
                reference = self.add(made, self._facility, made["name"])
                yield {"location": {"reference": reference}, "status": status}

    def _merge(self, survivor: str) -> None:
        """The prior record is out of use and each names the other (Patient.link)."""
        prior = self._patient("prior", resources.prior_patient)
        if prior == survivor:
            return
        self._name(survivor, prior, "replaces")
        self._name(prior, survivor, "replaced-by")

    def _link(self, patients: list[str]) -> None:
        """Records of one person that stay in use name each other (A24)."""
        for one in dict.fromkeys(patients):
            for other in dict.fromkeys(patients):
                if one != other:
                    self._name(one, other, "seealso")

    def _name(self, one: str, other: str, kind: str) -> None:
        for entry in self.entries:
            if entry["fullUrl"] == one:
                link = {"other": {"reference": other}, "type": kind}
                entry["resource"].setdefault("link", []).append(link)

    def _results(self, patient: str, encounter: str | None, sender: str) -> None:
        results = self._about.get("results") or []
        orders = self._about.get("orders") or []
        groups: dict[int | None, list[Json]] = {number: [] for number in range(len(orders))}
        for result in results:
            groups.setdefault(result.get("order"), []).append(result)
        context = {"subject": {"reference": patient}}
        if encounter:
            context["encounter"] = {"reference": encounter}
        for number, group in groups.items():
            order = orders[number] if number is not None and number < len(orders) else {}
            self._order(number, order, group, context, sender)

    def _order(
        self, number: int | None, order: Json, group: list[Json], context: Json, sender: str
    ) -> None:
        self._now = "ServiceRequest"
        place = order.get("filler_order_number") or order.get("placer_order_number")
        identity = (self._facility, str(place)) if place else self._message
        position = str(number) if not place else str(order.get("set_id") or number)
        performer = {"performer": [{"reference": sender}]}
        based: Json = {}
        if order:
            request = resources.service_request(order, self._report) | context
            if requester := self._provider(order.get("ordering_provider")):
                request["requester"] = {"reference": requester}
            based = {"basedOn": [{"reference": self.add(request, *identity, position)}]}
        references = [
            {
                "reference": self._result(
                    result, at, (*identity, position), context | performer | based
                )
            }
            for at, result in enumerate(group)
        ]
        self._now = "DiagnosticReport"
        report = resources.report(order, group, self._report) | context | performer | based
        if references:
            report["result"] = references
        self.add(report, *identity, position)

    def _result(self, result: Json, at: int, identity: tuple[str, ...], context: Json) -> str:
        self._now = "Observation"
        made = resources.observation(result, self._report) | context
        code = (result.get("test") or {}).get("code") or {}
        codes = [each.get("code") or "" for each in code.get("coding") or ()][:1]
        place = (str(result.get("set_id") or at), str(result.get("sub_id") or ""), *codes)
        return self.add(made, *identity, *place)

    def _clinical(self, patient: str, encounter: str | None) -> None:
        """What the event tells beside results; each thing is known by its place in the list."""
        for key, make, subject in _LISTS:
            for at, given in enumerate(self._about.get(key) or ()):
                self._now = key
                made = make(given, self._report)
                if made is None:
                    continue
                made[subject] = {"reference": patient}
                if encounter:
                    made["encounter"] = {"reference": encounter}
                number = given.get("filler_order_number") or given.get("identifier") or ""
                place = (self._facility, number) if number else (*self._message, key)
                self.add(made, *place, str(given.get("set_id") or at))
        self._appointment(patient)

    def _appointment(self, patient: str) -> None:
        given = self._about.get("appointment") or {}
        made = clinical.appointment(given, self.event["type"])
        if made is None:
            return
        made["participant"] = [
            {"actor": {"reference": actor}, "status": "accepted"}
            for actor in (patient, self._provider(given.get("provider")))
            if actor
        ]
        self.add(made, *self._identity(made, "appointment"))

    def _provenance(self, sender: str) -> None:
        """Which message all of it came from, and when."""
        made: Json = {
            "resourceType": "Provenance",
            "target": [{"reference": each["fullUrl"]} for each in self.entries],
            "recorded": self.event.get("received_at"),
            "agent": [{"who": {"reference": sender}}],
            "entity": [
                {
                    "role": "source",
                    "what": {"identifier": {"value": self._control_id}},
                }
            ],
        }
        reference = _reference("Provenance", *self._message)
        if self._strategy != "put":
            made["meta"] = {"tag": [{"system": OWN, "code": reference.removeprefix(_URN)}]}
        self.add(made, *self._message)


@lru_cache(maxsize=4096)
def _reference(*names: str) -> str:
    """urn:uuid: and a UUID version 5 (RFC 9562, 5.5), for a third of what `uuid5` costs."""
    found = hashlib.sha1(NAMESPACE.bytes + "\x1f".join(names).encode()).hexdigest()  # noqa: S324
    variant = "89ab"[int(found[16], 16) & 3]
    return (
        f"urn:uuid:{found[:8]}-{found[8:12]}-5{found[13:16]}-{variant}{found[17:20]}-{found[20:32]}"
    )


def _own(reference: str) -> Json:
    """An identifier for what has none; not the URN, which servers replace in a transaction."""
    return {"system": OWN, "value": reference.removeprefix(_URN)}


def _is_minor(identifier: Json) -> bool:
    """Whether it is another number than a medical record number, which goes first."""
    codings = identifier.get("type", {}).get("coding") or [{}]
    return bool(codings[0].get("code") != "MR")
