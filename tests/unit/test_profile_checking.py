"""Identifiers by their own rules: check digits and forms."""

import pytest

from fifhir.profile import checking

CASES = [
    ("npi", "1234567893", ""),
    ("npi", "1234567890", "INVALID_NPI_CHECKSUM"),
    ("npi", "0234567893", "INVALID_NPI_START"),
    ("npi", "12345678A3", "INVALID_NPI_FORMAT"),
    ("npi", "123", "INVALID_NPI_LENGTH"),
    ("mbi", "1EG4TE5MK73", ""),
    ("mbi", "1EG4TE5MK7", "INVALID_MBI_LENGTH"),
    ("mbi", "0EG4TE5MK73", "INVALID_MBI_POS1"),
    ("mbi", "1SG4TE5MK73", "INVALID_MBI_POS2"),
    ("mbi", "1EG4TE5MK7A", "INVALID_MBI_POS11"),
    ("ssn", "078051121", ""),
    ("ssn", "000051121", "INVALID_SSN_AREA"),
    ("ssn", "666051121", "INVALID_SSN_AREA"),
    ("ssn", "078001121", "INVALID_SSN_GROUP"),
    ("ssn", "078050000", "INVALID_SSN_SERIAL"),
    ("ssn", "07805112", "INVALID_SSN_LENGTH"),
    ("ssn", "07805112\u0661", "INVALID_SSN_FORMAT"),
    ("dea", "AB1234563", ""),
    ("dea", "AB1234564", "INVALID_DEA_CHECKSUM"),
    ("dea", "QB1234563", "INVALID_DEA_PREFIX"),
    ("dea", "A?1234563", "INVALID_DEA_REGISTRANT"),
    ("dea", "AB12E4563", "INVALID_DEA_DIGITS"),
    ("dea", "AB123", "INVALID_DEA_LENGTH"),
]


@pytest.mark.parametrize(("kind", "value", "code"), CASES)
def test_an_identifier_is_judged_by_its_own_rules(kind: str, value: str, code: str) -> None:
    assert getattr(checking, kind)(value) == code


def test_placeholders_are_no_social_security_numbers() -> None:
    assert checking.ssn("123456789") == ""
    assert checking.ssn("123456789", frozenset({"123456789"})) == "INVALID_SSN_PATTERN"
