"""Collects the resources of one event as entries of a bundle, each once, each with its id.

Ids are UUIDs (version 5, RFC 9562) of what identifies a thing to the outside: an identifier and who
assigned it, or the patient and what tells this thing of the patient from another, or the message
and the place in it. So the same message makes the same bytes, and two messages about one patient
write one Patient. References go by `urn:uuid:` and are the server's to resolve (http.html#trules).
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from fifhir.fhir.vocabulary import KINDS, Json, Kind, uri

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://gitlab.flexinfer.ai/libs/fi-fhir")
OWN = "https://gitlab.flexinfer.ai/libs/fi-fhir/id"  # the system of identifiers made here
Strategy: TypeAlias = Literal["put", "conditional_create", "conditional_update", "message"]
_LASTING = frozenset({"Practitioner", "Organization", "Location", "Payor", "PolicyHolder"})
_IDENTIFIED = frozenset({"Patient", "Practitioner"})  # US Core asks for an identifier
_NAMELESS = frozenset({"Provenance", "MessageHeader"})  # have no element `identifier`
_URN = "urn:uuid:"
_LIMIT = 4096  # of what many messages name; a hospital has fewer doctors and beds than this
_NAMESPACE = NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_NAMING = ("system", "code", "value", "family_name", "given_name")
_UNTYPED: Json = {}
_NONE: list[Json] = [{}]
_encoded = msgspec.json.Encoder().encode


class Issue(Struct, frozen=True):
    """Something of the event that FHIR could not be told; never a field's value."""

    code: str
    text: str
    resource: str


class _Kept(NamedTuple):
    """An entry that many messages have in common, and what was said of it."""

    reference: str
    entry: Json
    issues: tuple[Issue, ...]


Make: TypeAlias = Callable[[Json, "Maker"], Json | None]
"""The resource of an object of the event, or None where it says nothing."""

_kept: dict[bytes, _Kept] = {}


class Maker:
    """The bundle in the making. `patient` and `visit` refer to whose things are being added."""

    __slots__ = (
        *("account", "authority", "control_id", "entries", "event", "facility", "issues"),
        *(
            "message",
            "patient",
            "place",
            "sender",
            "visit",
            "_is_ours",
            "_known",
            "_now",
            "_recipes",
            "_strategy",
        ),
    )

    def __init__(self, event: Json, strategy: Strategy, recipes: dict[str, Make]) -> None:
        self.event = event
        self.entries: list[Json] = []
        self.issues: list[Issue] = []
        self.patient = self.visit = self.account = self.sender = ""
        self.place: tuple[str, ...] = ()
        self._recipes = recipes
        self._strategy = strategy
        self._known: dict[str, Json] = {}
        self._now = ""
        self._is_ours = False  # whether only this message knows what was made last by its id
        header = event.get("header") or {}
        source = str(event.get("source"))
        self.facility: str = header.get("sending_facility") or source
        self.authority = uri(self.facility)
        self.control_id = str(event.get("source_message_id") or "unknown")
        # By its bytes: some senders leave MSH-10 out, and others begin it anew.
        self.message = (source, str(event.get("id") or self.control_id))

    def report(self, name: str, text: str) -> None:
        """Told: the map `name` did not know what to make of something."""
        self.issues.append(Issue(name, text, self._now))

    def refer(self, struct: str, given: Any, *place: str) -> str:
        """The reference to what an object of the event becomes, which is in the bundle now.

        Nothing, if the object says nothing. `place` is where in the message it stands.
        """
        if not isinstance(given, dict) or not given:
            return ""
        if struct not in _LASTING:
            return self._make(struct, given, place)
        key = _encoded((struct, self._strategy, self.facility, given))
        kept = _kept.get(key)
        if kept is None:
            return self._keep(key, struct, given)
        known = self._known.get(kept.reference)
        if known is None:
            self._known[kept.reference] = kept.entry
            self.entries.append(kept.entry)
            self.issues.extend(kept.issues)
        elif known is not kept.entry:
            self._unite(kept.reference, known, kept.entry["resource"])
        return kept.reference

    def _keep(self, key: bytes, struct: str, given: Json) -> str:
        """Made once for all messages that say the same of a person or place with an identity."""
        known, told = len(self.entries), len(self.issues)
        reference = self._make(struct, given, ())
        if len(self.entries) == known + 1 and not self._is_ours:
            if len(_kept) >= _LIMIT:
                _kept.clear()
            _kept[key] = _Kept(reference, self.entries[-1], tuple(self.issues[told:]))
        return reference

    def write(self, struct: str, given: Json, identity: tuple[str, ...]) -> str:
        """As `refer`, for what is known by an identity that the caller knows."""
        return self._make(struct, given, (), identity)

    def _make(
        self,
        struct: str,
        given: Json,
        place: tuple[str, ...],
        identity: tuple[str, ...] | None = None,
    ) -> str:
        """It names whose it is, and a number that names nobody is the sending facility's."""
        kind, before = KINDS[struct], self._now
        self._now = kind.resource
        made = self._recipes[struct](given, self)
        self._now = before
        if made is None:
            return ""
        if kind.subject:
            made[kind.subject] = {"reference": self.patient}
            if kind.visit and self.visit:
                made[kind.visit] = {"reference": self.visit}
        if "identifier" in made:
            for each in made["identifier"]:
                if "system" not in each:
                    each["system"] = self.authority
        identity = identity or self._identity(kind, made, given, place)
        return self._add(kind, made, _reference(kind.resource, *identity))

    def _add(self, kind: Kind, made: Json, reference: str) -> str:
        """It is in the bundle, once for each identity; the reference to it."""
        known = self._known.get(reference)
        if known is not None:
            if kind.is_identified or kind.resource in _LASTING:
                self._unite(reference, known, made)
                return reference
            if _is_same(known, made):
                return reference
            reference = _reference(kind.resource, reference, *self.message, str(len(self.entries)))
        entry = self._known[reference] = self._entry(kind, made, reference)
        self.entries.append(entry)
        return reference

    def _unite(self, reference: str, known: Json, made: Json) -> None:
        """The same thing was said of twice; the first word counts, the second adds to it."""
        resource = known["resource"]
        more = {key: value for key, value in made.items() if key not in resource}
        if more and more.keys() != {"id"}:
            entry = self._known[reference] = {**known, "resource": {**resource, **more}}
            at = next(at for at, each in enumerate(self.entries) if each is known)
            self.entries[at] = entry

    def _identity(
        self, kind: Kind, made: Json, given: Json, place: tuple[str, ...]
    ) -> tuple[str, ...]:
        """What identifies it outside; its place in this message where nothing does."""
        whose = self.patient if kind.subject else ""
        self._is_ours = False
        if kind.is_identified and (found := _foremost(made.get("identifier", ()))):
            return found["system"], found["value"], whose
        names = [told(given[key]) if key in given else "" for key in kind.identity]
        if any(names) and not kind.is_identified:
            more = [told(given.get(key)) for key in kind.besides]
            return whose or self.facility, *names, *more
        self._is_ours = True
        return (*self.message, *self.place, *place, *names)

    def _entry(self, kind: Kind, made: Json, reference: str) -> Json:
        number = reference[len(_URN) :]
        if kind.resource in _IDENTIFIED and "identifier" not in made:
            made["identifier"] = [{"system": OWN, "value": number}]
        if self._strategy == "put":
            made["id"] = number
            request = {"method": "PUT", "url": f"{kind.resource}/{number}"}
        elif self._strategy == "message":
            made["id"] = number
            return {"fullUrl": reference, "resource": made}
        else:
            del made["id"]
            request = self._condition(kind, made, number)
        return {"fullUrl": reference, "resource": made, "request": request}

    def _condition(self, kind: Kind, made: Json, number: str) -> Json:
        """How a server that chooses ids finds the resource again: by an identifier or a tag."""
        match = f"identifier={OWN}|{number}"
        if kind.resource in _NAMELESS:
            made["meta"] = {"tag": [{"system": OWN, "code": number}]}
            match = f"_tag={OWN}|{number}"
        elif found := kind.is_identified and _foremost(made.get("identifier", ())):
            match = f"identifier={found['system']}|{found['value']}"
        elif {"system": OWN, "value": number} not in made.get("identifier", ()):
            made["identifier"] = [*made.get("identifier", ()), {"system": OWN, "value": number}]
        if self._strategy == "conditional_update":
            return {"method": "PUT", "url": f"{kind.resource}?{match}"}
        return {"method": "POST", "url": kind.resource, "ifNoneExist": match}

    def resource(self, reference: str) -> Json:
        """What is in the bundle under a reference; it may yet be added to."""
        made: Json = self._known[reference]["resource"]
        return made


def _foremost(identifiers: Any) -> Json | None:
    """A medical record number, else the first identifier; one that can stand in a search."""
    first = None
    for each in identifiers:
        if "value" not in each or "|" in each["value"]:
            continue
        if each.get("type", _UNTYPED).get("coding", _NONE)[0].get("code") == "MR":
            found: Json = each
            return found
        first = first or each
    return first


def told(value: Any) -> str:
    """What an object of the event says of itself, to tell it from others of its kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "~".join(map(told, value))
    if not isinstance(value, dict):
        return ""
    code = (value.get("coding") or (value,))[0]
    found = "^".join([str(code[word]) for word in _NAMING if code.get(word)])
    return found or str(value.get("text") or value.get("name") or "")


def _is_same(known: Json, made: Json) -> bool:
    resource = known["resource"]
    return all(resource.get(key) == value for key, value in made.items() if key != "id")


def _reference(*names: str) -> str:
    """urn:uuid: and a UUID version 5 (RFC 9562, 5.5), for a third of what `uuid5` costs."""
    found = hashlib.sha1(_NAMESPACE + "\x1f".join(names).encode()).hexdigest()  # noqa: S324 - RFC
    return (
        f"{_URN}{found[:8]}-{found[8:12]}-5{found[13:16]}-"
        f"{_VARIANT[found[16]]}{found[17:20]}-{found[20:32]}"
    )
