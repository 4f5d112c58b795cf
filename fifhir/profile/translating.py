"""Codes in other systems: the translation of a coding stands beside it."""

import csv
from pathlib import Path
from typing import NamedTuple, TypeAlias

from msgspec import structs

from fifhir.errors import Finding, MessageError
from fifhir.event import CodeableConcept, Coding, Warning
from fifhir.profile.config import OnInvalid, SourceProfile, Terminology
from fifhir.profile.walking import Change, Tell

COLUMNS = ("source_code", "target_code", "target_display")
FILE_LIMIT = 64 << 20  # bytes of a mapping; LOINC as a whole is a tenth of it


class Table(NamedTuple):
    """A mapping that was read: what each code of the source system is in the target system."""

    source_system: str
    target_system: str
    codes: dict[str, tuple[str, str]]


Tables: TypeAlias = tuple[Table, ...]


def read(settings: Terminology, folder: Path) -> tuple[Tables, list[Finding]]:
    """All mappings of a profile, and what is wrong with their files."""
    tables, findings = [], []
    for mapping in settings.mappings:
        path = folder / mapping.file
        try:
            codes = read_codes(path)
        except OSError as fault:
            findings.append(Finding(str(path), (fault.strerror or "unreadable").lower()))
        except (ValueError, csv.Error) as fault:
            findings.append(Finding(str(path), str(fault)))
        else:
            tables.append(Table(mapping.source_system, mapping.target_system, codes))
    return tuple(tables), findings


def read_codes(path: Path) -> dict[str, tuple[str, str]]:
    """The codes of a mapping, each with its display. Raises OSError, ValueError, csv.Error."""
    if path.stat().st_size > FILE_LIMIT:
        raise ValueError(f"larger than {FILE_LIMIT} bytes")
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        if lacking := [name for name in COLUMNS[:2] if name not in (rows.fieldnames or ())]:
            raise ValueError(f"has no column {' and no column '.join(lacking)}")
        return {
            row["source_code"]: (row["target_code"], row.get("target_display") or "")
            for row in rows
            if row["source_code"] and row["target_code"]
        }


def change(profile: SourceProfile, tables: Tables) -> Change:
    """What becomes of a coded value."""
    settings = profile.terminology
    unknown = "error" if settings.strict_validation else settings.unknown_code_behavior

    def translated(concept: CodeableConcept, place: str, tell: Tell) -> CodeableConcept:
        added = []
        for table in tables:
            if any(coding.system == table.target_system for coding in concept.coding):
                continue  # the sender has said it already
            for coding in concept.coding:
                if coding.system != table.source_system or not coding.code:
                    continue
                if coding.code in table.codes:
                    added.append(Coding(table.target_system, *table.codes[coding.code]))
                else:
                    _missing(unknown, place, tell)
        return structs.replace(concept, coding=(*concept.coding, *added)) if added else concept

    return translated


def _missing(unknown: OnInvalid, place: str, tell: Tell) -> None:
    text = "the profile's terminology has no translation of this code"
    if unknown == "error":
        raise MessageError("unmapped_code", text, location=place, code="103")
    if unknown == "warn":
        tell(Warning("semantic", "UNMAPPED_CODE", text, place))
