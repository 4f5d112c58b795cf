"""Whether identifiers can be what their type says: check digits and forms, nothing looked up.

Each function gives "" for one that can, else a code that names what is wrong with it.
"""

import re

_DEA_PREFIXES = "ABFGMPRX"
_LETTER = "AC-HJKMNP-RT-Y"  # without S, L, O, I, B and Z, which look like digits
# CMS, "Understanding the Medicare Beneficiary Identifier (MBI) Format", positions 1 to 11
_MBI = (
    *(r"[1-9]", f"[{_LETTER}]", f"[{_LETTER}0-9]", r"[0-9]"),
    *(f"[{_LETTER}]", f"[{_LETTER}0-9]", r"[0-9]"),
    *(f"[{_LETTER}]", f"[{_LETTER}]", r"[0-9]", r"[0-9]"),
)


def npi(value: str) -> str:
    """A National Provider Identifier: ten digits, Luhn over `80840` and them (45 CFR 162.406)."""
    if len(value) != 10:
        return "INVALID_NPI_LENGTH"
    if not _digits(value):
        return "INVALID_NPI_FORMAT"
    if value[0] not in "12":
        return "INVALID_NPI_START"
    return "" if _luhn(f"80840{value}") else "INVALID_NPI_CHECKSUM"


def mbi(value: str) -> str:
    """A Medicare Beneficiary Identifier, without its dashes and in upper case."""
    if len(value) != len(_MBI):
        return "INVALID_MBI_LENGTH"
    for position, (form, letter) in enumerate(zip(_MBI, value, strict=True), 1):
        if not re.fullmatch(form, letter):
            return f"INVALID_MBI_POS{position}"
    return ""


def ssn(value: str, placeholders: frozenset[str] = frozenset()) -> str:
    """A Social Security Number, nine digits without dashes, as the SSA may have issued it."""
    if len(value) != 9:
        return "INVALID_SSN_LENGTH"
    if not _digits(value):
        return "INVALID_SSN_FORMAT"
    if value in placeholders:
        return "INVALID_SSN_PATTERN"
    if value.startswith(("000", "666", "9")):
        return "INVALID_SSN_AREA"
    if value[3:5] == "00":
        return "INVALID_SSN_GROUP"
    return "INVALID_SSN_SERIAL" if value[5:] == "0000" else ""


def dea(value: str) -> str:
    """A DEA registration number: two letters, six digits and a check digit (21 CFR 1301.35)."""
    if len(value) != 9:
        return "INVALID_DEA_LENGTH"
    if value[0] not in _DEA_PREFIXES:
        return "INVALID_DEA_PREFIX"
    if not re.fullmatch("[A-Z9]", value[1]):
        return "INVALID_DEA_REGISTRANT"
    if not _digits(value[2:]):
        return "INVALID_DEA_DIGITS"
    odd, even = sum(map(int, value[2:7:2])), sum(map(int, value[3:8:2]))
    return "" if (odd + 2 * even) % 10 == int(value[8]) else "INVALID_DEA_CHECKSUM"


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _luhn(digits: str) -> bool:
    doubled = (int(d) * (1 + n % 2) for n, d in enumerate(reversed(digits)))
    return sum(d // 10 + d % 10 for d in doubled) % 10 == 0
