"""Code maps between HL7 v2 tables and FHIR, and what each struct of an event becomes: rows."""

import re
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from fifhir import tables

Json: TypeAlias = dict[str, Any]
CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_OID_LEAST = 5  # the last dot of a real one is no earlier: 1.2.3 is a version or chapter
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_TABLE = re.compile(r"HL7(\d{4})")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Code(NamedTuple):
    """What a v2 code is in FHIR; `code` is empty where the map says that nothing is."""

    code: str
    system: str
    display: str


class Kind(NamedTuple):
    """What a struct becomes, and what identifies it.

    `subject` and `visit` name the elements that refer to the patient and the encounter. It
    `is_identified` if its first identifier tells it from all others (or, with a subject, from all
    of the patient); else the keys `identity` of the event's object do if it has one of them, and
    those `besides`, which are nothing alone. What has neither is known by its place in the message.
    """

    resource: str
    profile: str
    subject: str
    visit: str
    is_identified: bool
    identity: tuple[str, ...]
    besides: tuple[str, ...]


class Extension(NamedTuple):
    """Where an extension is defined, the element its value is in, and how the value is made."""

    url: str
    element: str
    kind: str
    arg: str


@lru_cache(maxsize=4096)
def uri(name: str) -> str:
    """A name of a system as a URI: an OID, a UUID, a URI, a table of HL7; else under urn:id."""
    if _OID.fullmatch(name) and name.rindex(".") >= _OID_LEAST:
        return f"urn:oid:{name}"
    if _UUID.fullmatch(name):
        return f"urn:uuid:{name.lower()}"
    if table := _TABLE.fullmatch(name):
        return f"http://terminology.hl7.org/CodeSystem/v2-{table[1]}"
    return name if _URI.fullmatch(name) else f"urn:id:{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"


def _maps() -> dict[str, dict[str, Code]]:
    found: dict[str, dict[str, Code]] = {}
    for row in tables.rows("fhir/codes.csv"):
        code = Code(row["fhir"], row["system"], row["display"])
        found.setdefault(row["map"], {})[row["code"]] = code
    return found


def _concepts() -> dict[str, dict[str, Json]]:
    """Every CodeableConcept that a map can make, made once: the code of FHIR, then that of v2."""
    return {
        name: {code: concept(name, code, found) for code, found in codes.items()}
        for name, codes in MAPS.items()
    }


def concept(name: str, code: str, found: Code | None) -> Json:
    """What the map has for a code and the code itself, if its table has it; else as text."""
    made: list[Json] = []
    if found and found.code:
        made.append({"system": found.system, "code": found.code})
        if found.display:
            made[0]["display"] = found.display
    system = SYSTEMS.get(name)
    if system and is_listed(system, code) and (not made or made[0]["system"] != system):
        made.append({"system": system, "code": code})
    return {"coding": made} if made else {"text": code}


def is_listed(system: str, code: str) -> bool:
    """Whether a table of HL7 has a code; of a table that senders fill any code may be."""
    codes = V2_CODES.get(system)
    if codes is None:
        return " " not in code or " ".join(code.split()) == code  # FHIR `code`
    return code in codes


MAPS = _maps()
V2_CODES = {
    f"http://terminology.hl7.org/CodeSystem/v2-{row['table']}": frozenset(row["codes"].split())
    for row in tables.rows("fhir/v2_codes.csv")
}
"""The codes of HL7's own tables; a table that is not here is a sender's to fill."""

SYSTEMS = {row["map"]: row["system"] for row in tables.rows("fhir/systems.csv")}
CONCEPTS = _concepts()
ENCOUNTER_STATUS = {row["event"]: row["status"] for row in tables.rows("fhir/encounter_status.csv")}
UCUM = frozenset(row["code"] for row in tables.rows("fhir/ucum.csv"))
IDENTIFIER_SYSTEMS = {
    row["type"]: row["system"] for row in tables.rows("fhir/identifier_systems.csv")
}
EXTENSIONS = {
    row["name"]: Extension(row["url"], row["element"], row["kind"], row["arg"])
    for row in tables.rows("fhir/extensions.csv")
}
KINDS = {
    row["struct"]: Kind(
        row["resource"],
        row["profile"] and CORE + row["profile"],
        row["subject"],
        row["visit"],
        row["identified"] == "yes",
        tuple(key for key in row["identity"].split() if key[0] != "+"),
        tuple(key[1:] for key in row["identity"].split() if key[0] == "+"),
    )
    for row in tables.rows("fhir/resources.csv")
}
