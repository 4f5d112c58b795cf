"""Code maps between HL7 v2 tables and FHIR, read once from tables/fhir."""

from typing import NamedTuple

from fifhir import tables


class Code(NamedTuple):
    """What a v2 code is in FHIR."""

    code: str
    system: str
    display: str


def _maps() -> dict[str, dict[str, Code]]:
    found: dict[str, dict[str, Code]] = {}
    for row in tables.rows("fhir/codes.csv"):
        code = Code(row["fhir"], row["system"], row["display"])
        found.setdefault(row["map"], {})[row["code"]] = code
    return found


MAPS = _maps()
SYSTEMS = {row["map"]: row["system"] for row in tables.rows("fhir/systems.csv")}
ENCOUNTER_STATUS = {row["event"]: row["status"] for row in tables.rows("fhir/encounter_status.csv")}
UCUM = frozenset(row["code"] for row in tables.rows("fhir/ucum.csv"))
V2_CODES = {
    f"http://terminology.hl7.org/CodeSystem/v2-{row['table']}": frozenset(row["codes"].split())
    for row in tables.rows("fhir/v2_codes.csv")
}
"""The codes of HL7's own tables; a table that is not here is a sender's to fill."""

IDENTIFIER_SYSTEMS = {
    row["type"]: row["system"] for row in tables.rows("fhir/identifier_systems.csv")
}
