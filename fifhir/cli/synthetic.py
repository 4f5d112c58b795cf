"""Invented messages for the demo: the same seed gives the same messages, and nobody is in them.

The names belong to no one: they are things of a kitchen and of the weather. Identifiers begin
with DEMO, telephone numbers are of the 555-01xx range that is kept for fiction.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

FAMILY = ("TEAPOT", "WHISK", "SAUCEPAN", "LADLE", "COLANDER", "THIMBLE", "RAINCLOUD", "DRIZZLE",
          "SUNBEAM", "HAILSTONE", "BREEZE", "SNOWDRIFT")  # fmt: skip
GIVEN = ("AMBER", "BASIL", "CLOVER", "DILL", "FENNEL", "GINGER", "HAZEL", "IVY", "JUNIPER", "OLIVE",
         "ROSEMARY", "SAGE")  # fmt: skip
STREETS = ("1 Example Street", "22 Sample Lane", "303 Invented Avenue")
TESTS = (
    ("718-7", "Hemoglobin", "g/dL", 13.8, 1.4, "12.0-16.0"),
    ("6690-2", "Leukocytes", "10*3/uL", 7.2, 2.1, "4.0-11.0"),
    ("777-3", "Platelets", "10*3/uL", 250.0, 60.0, "150-400"),
    ("2951-2", "Sodium", "mmol/L", 140.0, 3.0, "135-145"),
    ("2823-3", "Potassium", "mmol/L", 4.2, 0.5, "3.5-5.1"),
)
MIX = (
    ("ADT^A01", 22), ("ADT^A04", 14), ("ADT^A02", 12), ("ADT^A03", 12), ("ADT^A08", 16),
    ("ORU^R01", 20), ("ORM^O01", 2), ("SIU^S12", 2),
)  # fmt: skip
BROKEN = (b"NOT AN HL7 MESSAGE\rAT ALL\r", b"MSH|^~")
DAY = datetime(2026, 3, 2, 7, 0)


def messages(count: int, seed: int = 7) -> Iterator[bytes]:
    """`count` messages of the kinds of `MIX`, the two of `BROKEN` somewhere among them."""
    chance = random.Random(seed)  # noqa: S311 - a demo, no secret
    kinds = [kind for kind, _ in MIX]
    weights = [weight for _, weight in MIX]
    at = {count // 3: BROKEN[0], 2 * count // 3: BROKEN[1]}
    for number in range(count):
        (kind,) = chance.choices(kinds, weights)
        yield at.get(number) or _message(chance, number, kind)


def _message(chance: random.Random, number: int, kind: str) -> bytes:
    when = DAY + timedelta(seconds=37 * number)
    segments = [
        f"MSH|^~\\&|DEMOADT|DEMOHOSPITAL|FIFHIR|FIFHIR|{_time(when)}||{kind}|DEMO{number:06}|P|2.5.1",
        *([f"EVN|{kind[4:]}|{_time(when)}"] if kind.startswith("ADT") else []),
        _patient(chance),
        _visit(chance, when),
        *_body(chance, number, kind, when),
    ]
    return ("\r".join(segments) + "\r").encode()


def _time(when: datetime) -> str:
    return f"{when:%Y%m%d%H%M%S}"


def _patient(chance: random.Random) -> str:
    mrn = f"DEMO{chance.randrange(10_000):05}"
    name = f"{chance.choice(FAMILY)}^{chance.choice(GIVEN)}^Q"
    born = f"{chance.randrange(1930, 2020)}{chance.randrange(1, 13):02}{chance.randrange(1, 29):02}"
    phone = f"(555)555-01{chance.randrange(100):02}"
    street = chance.choice(STREETS)
    return (
        f"PID|1||{mrn}^^^DEMOHOSPITAL^MR||{name}||{born}|{chance.choice('FM')}|||"
        f"{street}^^Nowhere^ZZ^00000^USA||{phone}"
    )


def _visit(chance: random.Random, when: datetime) -> str:
    bed = f"WARD{chance.randrange(1, 6)}^{chance.randrange(100, 130)}^{chance.choice('AB')}"
    doctor = f"DEMO{chance.randrange(90, 99)}^{chance.choice(FAMILY)}^{chance.choice(GIVEN)}"
    visit = f"DEMOV{chance.randrange(100_000):06}"
    return f"PV1|1|{chance.choice('IEO')}|{bed}||||{doctor}{'|' * 12}{visit}{'|' * 25}{_time(when)}"


def _body(chance: random.Random, number: int, kind: str, when: datetime) -> Iterator[str]:
    """The segments that only this kind of message has."""
    order = f"DEMOORD{number:06}"
    match kind:
        case "ORU^R01":
            at = _time(when)
            yield f"OBR|1|{order}|{order}L|DEMOPANEL^Demo panel^L|||{at}{'|' * 15}{at}|||F"
            for row, test in enumerate(chance.sample(TESTS, 3), start=1):
                yield _result(chance, row, test)
        case "ORM^O01":
            yield f"ORC|NW|{order}"
            yield f"OBR|1|{order}||DEMOPANEL^Demo panel^L"
        case "SIU^S12":
            yield f"SCH|{order}|{order}|||||ROUTINE^Demo check-up^L"


def _result(chance: random.Random, row: int, test: tuple[str, str, str, float, float, str]) -> str:
    code, name, unit, mean, spread, limits = test
    value = round(chance.gauss(mean, spread), 1)
    low, high = (float(limit) for limit in limits.split("-"))
    flag = "L" if value < low else "H" if value > high else "N"
    return f"OBX|{row}|NM|{code}^{name}^LN||{value}|{unit}|{limits}|{flag}|||F"
