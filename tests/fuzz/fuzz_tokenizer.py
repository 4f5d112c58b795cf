"""Fuzz the compiled tokenizer against its specification: any difference is a finding.

Under atheris and AddressSanitizer when `tests/fuzz/run` could build that; with `--random SECONDS`
a plain loop that mutates the seeds, for machines without clang or atheris.
"""

import random
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from fifhir import extract
from tests.twins import built, observe, open_door, scribe

LARGEST = 300  # bytes of one input
GIVEN = ("id", "received", "source", "hl7v2", "profile", "segments")
PLANS = [(plan.slots, plan.node) for plan in extract._PLANS.values()]


class Differ(Exception):
    """The two tokenizers do not agree; the input is the finding."""


def judge(doors: tuple[ModuleType, ModuleType], data: bytes) -> None:
    """Raise Differ if anything that can be asked about `data` gets two answers."""
    told, charset = data[:1], ("utf-8", "cp1252", "utf-16")[len(data) % 3]
    believed = b"|^~\\&" if told == b"\x01" else b""
    raw = data[1:] if told <= b"\x01" else data
    python, compiled = (observe(door.Tokens, raw, believed, charset) for door in doors)
    if python != compiled:
        raise Differ(f"tokens: {python!r} against {compiled!r}")
    plan = PLANS[sum(raw) % len(PLANS)]
    python, compiled = (built(door, raw, plan, GIVEN) for door in doors)
    if python != compiled:
        raise Differ(f"plan {plan[1][1].__name__}: {python!r} against {compiled!r}")
    python, compiled = (scribe(door).write(b"#" + raw, "now", 1) for door in doors)
    if python != compiled:
        raise Differ(f"scribe: {python!r} against {compiled!r}")


def under_atheris(arguments: list[str], doors: tuple[ModuleType, ModuleType]) -> None:
    """Fuzz until libFuzzer's own limits end it; a finding ends the process with a status."""
    import atheris  # noqa: PLC0415 - the random loop does without

    def once(data: bytes) -> None:
        judge(doors, data)

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def at_random(seconds: float, doors: tuple[ModuleType, ModuleType]) -> None:
    """Mutate the seeds for `seconds`; print how many inputs were judged."""
    seed = random.randrange(2**32)  # noqa: S311 - no secret
    chance = random.Random(seed)  # noqa: S311
    here = Path(__file__).parent
    seeds = [
        path.read_bytes()[:LARGEST] for path in sorted((here.parent / "messages").glob("*.hl7"))
    ]
    words = [word.encode().decode("unicode_escape").encode("latin-1") for word in _dictionary(here)]
    print(f"random differential loop, seed {seed}, {len(seeds)} seeds", flush=True)
    executions, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = bytearray(chance.choice(seeds)[: chance.randrange(8, LARGEST)])
        for _ in range(chance.randrange(1, 12)):
            _mutate(data, chance, words)
        judge(doors, bytes(data))
        executions += 1
    print(f"{executions} executions, no finding")


def _mutate(data: bytearray, chance: random.Random, words: list[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(4)
    if kind == 0:
        data[at:at] = chance.choice(words)
    elif kind == 1:
        del data[at : at + chance.randrange(1, 20)]
    elif kind == 2:
        data[at : at + 1] = bytes([chance.randrange(256)])
    else:
        start = chance.randrange(len(data) + 1)
        data[at:at] = data[start : start + chance.randrange(1, 60)]


def _dictionary(here: Path) -> list[str]:
    lines = (here / "hl7.dict").read_text().splitlines()
    return [line.strip()[1:-1] for line in lines if line.startswith('"')]


def main(arguments: list[str]) -> Any:
    """Judge until the time is over."""
    doors = open_door("python"), open_door("compiled")
    if arguments[:1] == ["--random"]:
        return at_random(float(arguments[1]), doors)
    return under_atheris(arguments, doors)


if __name__ == "__main__":
    main(sys.argv[1:])
