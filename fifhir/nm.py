"""Numbers as HL7 v2 writes them (NM, HL7 v2.9 2A.2.46), to numbers and to JSON."""

import re
from collections.abc import Iterable
from decimal import Decimal

import msgspec

# A float tells up to 15 significant digits apart (IEEE 754 binary64); longer ones stay text.
_INTEGER = re.compile(rb"[+-]?[0-9]{1,15}\Z")
_DECIMAL = re.compile(rb"[+-]?(?=[0-9.]{3,16}\Z)[0-9]+\.[0-9]+\Z")

encoded = msgspec.json.encode


def number(raw: bytes) -> int | float | None:
    """The number, exactly; None for what is none or has too many digits for that."""
    if _INTEGER.match(raw):
        return int(raw)
    return float(raw) if _DECIMAL.match(raw) else None


def total(numbers: Iterable[bytes]) -> int | float | None:
    """What those that are numbers add up to, added as decimals; None where there are none."""
    found = [Decimal(raw.decode()) for raw in numbers if number(raw) is not None]
    if not found:
        return None
    added = sum(found, Decimal())
    return float(added) if added.as_tuple().exponent else int(added)
