"""One row of the guide: a message in which its field says something, and where FHIR says it.

`rows.csv` holds the rows of the HL7 v2-to-FHIR guide (hl7.fhir.uv.v2mappings 1.0.0, licence
CC0-1.0) that map to something, as published, misspellings included. For a row that depends on no
condition `asked` makes messages whose field is unmistakable, and `answered` looks for it at the
row's place in the resources that come of them.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fifhir import tables
from fifhir.fhir.bundle import Strategy, to_bundle
from fifhir.intake import Feed, read

Json = dict[str, Any]
_MOMENT, _DAY = "20260102030405+0000", "20260102"
_PIECE = re.compile(r"[A-Za-z]+")
_MISSPELT = {  # as the guide has them
    "payer": "payor",
    "doseForm": "form",
    "practioner": "practitioner",  # codespell:ignore
    "organziation": "organization",  # codespell:ignore
}
_DEPTH = 3  # references followed from the place a row names: a role, its person, an organization


class Row(NamedTuple):
    """One row of the guide; `sent` and `expected` are a code and what its map makes of it."""

    kind: str
    source: str
    field: str
    type: str
    target: str
    path: str
    fhir_type: str
    conversion: str
    map: str
    sent: str
    expected: str
    condition: str

    @property
    def cited(self) -> str:
        """The row as tables/fhir cites it: MAP FIELD PATH."""
        return f"{self.source}[{self.target}] {self.field} {self.path}"

    @property
    def of_segment(self) -> bool:
        """Whether it maps a field, not a component of a datatype."""
        return self.kind == "segment"

    @property
    def number(self) -> int:
        """The position of the field; 0 where the row speaks of the segment as a whole."""
        return int(self.field.partition("-")[2] or 0)


def rows() -> list[Row]:
    """Every row of the guide that maps to something."""
    with Path(__file__).with_name("rows.csv").open(newline="") as lines:
        return [Row(**each) for each in csv.DictReader(lines)]


def unconditional() -> list[Row]:
    """The rows of segments that hold whatever else a message says."""
    return [row for row in rows() if row.of_segment and not row.condition]


def omitted(row: Row) -> str:
    """Why a row is left out on purpose, or nothing; a map that is cited alone is left out whole."""
    return next(
        (why for cited, why in _OMITTED.items() if f"{row.cited} ".startswith(f"{cited} ")), ""
    )


def left_out() -> list[str]:
    """What the table of rows left out cites: rows, or maps as a whole."""
    return [*_OMITTED]


_OMITTED = {row["ig"]: row["reason"] for row in tables.rows("fhir/omitted.csv")}


# What a field of a type says in a probe, and the words by which it is known again.
_SAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CE": ("QCODE^Qdisplay^L", ("QCODE", "Qdisplay")),
    "CNE": ("QCODE^Qdisplay^L", ("QCODE", "Qdisplay")),
    "CWE": ("QCODE^Qdisplay^L", ("QCODE", "Qdisplay")),
    "CQ": ("47^mg", ("47",)),
    "CX": ("QNUMBER^^^QAUTH^MR", ("QNUMBER",)),
    "DLN": ("QNUMBER^NY^20300101", ("QNUMBER",)),
    "DT": (_DAY, ("2026-01-02",)),
    "DTM": (_MOMENT, ("2026-01-02",)),
    "EI": ("QNUMBER^QAUTH", ("QNUMBER",)),
    "EIP": ("QPLACER&QAUTH^QFILLER&QAUTH", ("QPLACER",)),
    "FC": ("QCLASS", ("QCLASS",)),
    "FT": ("Qwords", ("Qwords",)),
    "HD": ("QNAME", ("QNAME",)),
    "ID": ("QCODE", ("QCODE",)),
    "MSG": ("", ("A01",)),
    "NDL": ("QNUMBER&Qfamily&Qgiven", ("Qfamily",)),
    "NM": ("47", ("47",)),
    "PL": ("QUNIT^QROOM^QBED^QFACILITY", ("QUNIT",)),
    "PLN": ("QNUMBER^^NP", ("QNUMBER",)),
    "PT": ("D", ("HTEST",)),
    "RPT": ("BID", ("BID",)),
    "SPS": ("BLD^^^QSITE", ("BLD",)),
    "ST": ("Qwords", ("Qwords",)),
    "TM": ("0304", ("03:04:00",)),
    "TQ": (f"47^BID^^{_MOMENT}", ("2026-01-02",)),
    "TS": (_MOMENT, ("2026-01-02",)),
    "TX": ("Qwords", ("Qwords",)),
    "XAD": ("Qstreet^^Qcity^NY^10001", ("Qstreet", "Qcity")),
    "XCN": ("QNUMBER^Qfamily^Qgiven", ("Qfamily", "Qgiven")),
    "XON": ("Qorganization", ("Qorganization",)),
    "XPN": ("Qfamily^Qgiven", ("Qfamily", "Qgiven")),
    "XTN": ("(555)555-0147^PRN^PH", ("555-0147",)),
}


# Fields whose code FHIR binds, so that only one of HL7's own has a place there.
_BOUND = {
    "AIP-12": ("Cancelled", ("declined",)),
    "IAM-2": ("DA", ("DA",)),
    "AL1-2": ("DA", ("DA",)),
    "MSA-1": ("AA", ("ok",)),
    "MSH-19": ("en", ("en",)),
    "TXA-17": ("AU", ("final",)),
    "Patient-GeneralPractitioner ROL-3": ("PP^Primary^HL70443", ("PP",)),
    "Patient-GeneralPractitioner-PractitionerRole PRT-4": ("PP^Primary^HL70912", ("PP",)),
}
# Fields of which an event has the code alone: their text is lost before FHIR is made.
_CODE_ALONE = frozenset(
    {
        *("IAM-17", "IN1-2", "IN1-15", "NK1-20", "OBX-15", "PD1-6", "PID-15", "PID-28", "PID-35"),
        *("PID-36", "PR1-6", "PRT-6", "PV1-14", "PV1-16", "PV1-36", "PV1-38", "RXA-7"),
    }
)


def says(row: Row) -> tuple[str, tuple[str, ...]]:
    """The field as the probe sends it, and the words FHIR has to repeat."""
    if bound := _BOUND.get(f"{row.target} {row.field}"):
        return bound
    if row.sent and row.type != "MSG":  # of which each message has its own
        return row.sent, (row.expected,)
    sent, words = _SAYS.get(row.type, ("Qwords", ("Qwords",)))
    words = (row.expected,) if row.expected else words
    if row.field in _BOUND:
        return _BOUND[row.field]
    if row.field in _CODE_ALONE or row.conversion == "XPN[String]":
        words = words[:1]
    if "Filler" in row.conversion:
        words = ("QFILLER",)
    if row.fhir_type in {"code", "Coding"}:
        words = words[:1]
    if constant := re.search(r'="(.*)"$', row.path):
        words = (constant[1],)
    return sent, words


# For each segment, the messages it is tried in: the first in which the row is answered counts.
_HEAD = "MSH|^~\\&|APP|SENDER|TO|THERE|20260301101500+0000||{}|C1|P|2.8"
_PID = "PID|1||100^^^HOSP^MR||Young^Ada"
_ORDER = (
    "ORC|RE|P1|F1|||||||||1^Who|||||||||Clinic",
    "OBR|1|||718-7^Hemoglobin^LN|||20260101||||||||BLD",
    "TQ1|1",
)
_RESULT = "OBX|1|NM|718-7^Hemoglobin^LN||13.5|g/dL|||||F"
_MESSAGES: dict[str, tuple[str, ...]] = {
    "ADT^A01": (
        *("SFT|ACME", "EVN||20260301", _PID, "PD1|", "ROL||AD|PP|1^Who", "NK1|1|Young^Eve|SPO"),
        *("PV1|1|I|W1||||||||||||||||V1", "PRT||AD||AT|1^Who", "PV2|", _RESULT),
        *(
            "AL1|1||A^Nuts^L",
            "DG1|1||A01^Typhoid^I10",
            "PR1|1||0DB^Biopsy^L|||||",
            "ROL||AD|AT|1^Who",
        ),
        *("IN1|1|PLAN|CO|Insurer",),
    ),
    "ADT^A05": (_PID, "PD1|", "PRT||AD||PP|1^Who", "PV1|1|P"),
    "ADT^A40": ("EVN||20260301", _PID, "MRG|200^^^HOSP^MR"),
    "ADT^A60": ("EVN||20260301", _PID, "IAM|1||A^Nuts^L|||A"),
    "MDM^T02": (
        *("EVN||20260301", _PID, "PV1|1|I", *_ORDER[:2], "TXA|1|CN|TX|||||||||D1^LAB"),
        *("OBX|1|TX|1^Text^L||words||||||F", "NTE|1||words"),
    ),
    "OML^O21": (
        *(
            _PID,
            "PV1|1|I",
            "ORC|NW|P1|F1|||||||||1^Who|||||||||Clinic",
            "TQ1|1",
            "OBR|1|||718-7^Hemoglobin^LN",
        ),
        *("NTE|1", "PRT||AD||AT|1^Who", _RESULT, "NTE|1", "SPM|1|S1||BLD"),
    ),
    "OMP^O09": (_PID, "ORC|NW|P1|F1", "TQ1|1", "RXO|A^Aspirin^L|1|90|mg|TAB^Tablet^L", "RXR|PO"),
    "ORM^O01": (_PID, "PV1|1|I", "ORC|NW|P1|F1", "TQ1|1", "RXO|A^Aspirin^L", "RXR|PO"),
    "ORU^R01": (
        *(_PID, "PV1|1|I", *_ORDER[:2], "NTE|1", "PRT||AD||AT|1^Who"),
        *(_RESULT, "PRT||AD||AT|1^Who", "NTE|1", "SPM|1|S1||BLD"),
    ),
    "RAS^O17": (
        *(_PID, "ORC|RE|P1|F1", "RXE||A^Aspirin^L|1||mg", "RXR|PO"),
        *("RXA|0|1|20260301||A^Aspirin^L|1|mg", "RXR|PO"),
    ),
    "RDE^O11": (_PID, "ORC|RE|P1|F1", "RXE||A^Aspirin^L|1||mg", "RXR|PO"),
    "ORR^O02": ("MSA|AA|C0", _PID, "ORC|OK|P1|F1"),
    "SIU^S12": (
        *("SCH|1^A|2^A|||||||||^^60^20260302090000+0000^20260302100000+0000", "NTE|1", _PID),
        *("RGS|1", "AIS|1||A^Visit^L", "NTE|1", "AIG|1||1^Device^L|D", "AIL|1||W1", "AIP|1||1^Who"),
    ),
    "VXU^V04": (
        *(_PID, "ORC|RE|P1|F1", "RXA|0|1|20260301||08^HepB^CVX|1|mL", "RXR|IM"),
        *(_RESULT, "NTE|1"),
    ),
}


def asked(row: Row) -> Iterator[str]:
    """The messages in which the row's field is valued, the likeliest first."""
    sent, _ = says(row)
    for kind, segments in _MESSAGES.items():
        lines = [_HEAD.format(kind), *segments]
        for at, line in enumerate(lines):
            if line.startswith(row.field.partition("-")[0]):
                yield "\r".join([*lines[:at], _valued(line, row, sent), *lines[at + 1 :]])


def _valued(line: str, row: Row, sent: str) -> str:
    if not sent or not row.number:
        return line
    fields = line.split("|")
    at = row.number - (row.source == "MSH")
    fields += [""] * (at + 1 - len(fields))
    fields[at] = sent
    return "|".join(fields)


def answered(row: Row) -> bool:
    """Whether one of the messages becomes a resource that says it at the row's place."""
    _, words = says(row)
    strategy: Strategy = "message" if row.target in {"Bundle", "MessageHeader"} else "put"
    return any(_said(row, _bundle(message, strategy), words) for message in asked(row))


def _bundle(message: str, strategy: Strategy) -> Json:
    event = msgspec.to_builtins(read(message.encode(), Feed(source="probe")))
    try:
        return to_bundle(event, strategy).bundle
    except ValueError:
        return {}


def _said(row: Row, bundle: Json, words: tuple[str, ...]) -> bool:
    resources = {each["fullUrl"]: each["resource"] for each in bundle.get("entry", ())}
    kind = row.target.partition("-")[0]
    if row.path == "$this" and "RelatedPerson" in row.conversion:  # PID-21: a person of her own
        kind = "RelatedPerson"
    path = row.path.partition("=")[0].replace("$this", "")
    roots = [bundle] if bundle and kind == "Bundle" else resources.values()
    for resource in roots:
        if resource["resourceType"] == kind:
            for value in _values([resource], path, resources):
                leaves = list(_leaves(value, resources, _DEPTH))
                if all(any(_says(word, leaf) for leaf in leaves) for word in words):
                    return True
    return False


def _says(word: str, leaf: str) -> bool:
    """Whether a value is the word or has it in words around; a field that was not cut is none."""
    return leaf == word or (word in leaf and "^" not in leaf and "&" not in leaf)


def _values(found: list[Any], path: str, resources: Json) -> list[Any]:
    """What is at a path of the guide: `(` follows a reference, `[2]` only tells slots apart."""
    for piece in _PIECE.findall(re.sub(r"\[\w+\]", "", path)):
        step = _MISSPELT.get(piece, piece)
        found = [value for each in found for value in _step(_resolved(each, resources), step)]
    return found


def _step(value: Any, step: str) -> list[Any]:
    if not isinstance(value, dict):
        return []
    if step in (value.get("resourceType"), value.get("type"), "Annotation"):
        return [value]  # `type` is that of a thing that only its number is known of
    if value.get("resourceType") == "Practitioner" and step in {"PractitionerRole", "practitioner"}:
        return [value]  # a role of nothing but a person is that person
    if value.get("resourceType") == "PractitionerRole" and step == "Practitioner":
        step = "practitioner"
    here = [
        each
        for key, each in value.items()
        if key in {step, f"_{step}"} or (key.startswith(step) and key[len(step)].isupper())
    ]
    return [item for each in here for item in (each if isinstance(each, list) else [each])]


def _resolved(value: Any, resources: Json) -> Any:
    if not isinstance(value, dict):
        return value
    return resources.get(value.get("reference", ""), value)


def _leaves(value: Any, resources: Json, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and "reference" in value and depth:
        value, depth = _resolved(value, resources), depth - 1
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each, resources, depth)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, resources, depth)
    else:
        yield str(value)
