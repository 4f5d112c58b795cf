"""Both tokenizers behind one door, and what it takes to call them equal.

The unit tests, the property tests, the corpus and the fuzzer all judge by `observe` and `built`.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import msgspec
import pytest

from fifhir import extract
from fifhir.errors import MessageError

TOKENIZERS = ("python", "compiled")
FEW = 4  # repetitions, components and subcomponents looked at in one place


def open_door(tokenizer: str) -> ModuleType:
    """`fifhir.message`, loaded anew over that tokenizer; ImportError if it has not been built."""
    found = importlib.util.find_spec("fifhir.message")
    assert found is not None
    assert found.origin is not None
    name = f"fifhir_message_over_{tokenizer}"
    spec = importlib.util.spec_from_file_location(name, found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = os.environ.get("FIFHIR_TOKENIZER")
    os.environ["FIFHIR_TOKENIZER"] = tokenizer
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del os.environ["FIFHIR_TOKENIZER"]
        if before is not None:
            os.environ["FIFHIR_TOKENIZER"] = before
    return module


def door_or_skip(tokenizer: str) -> ModuleType:
    """As open_door; a tokenizer that is not built is a loud skip here and a failure in CI."""
    try:
        return open_door(tokenizer)
    except ImportError as fault:
        if tokenizer == "python" or os.environ.get("CI"):
            raise
        pytest.skip(f"THE COMPILED TOKENIZER IS NOT TESTED, run make ext: {fault}")


def observe(tokens: type[Any], data: bytes, delimiters: bytes = b"", charset: str = "") -> Any:
    """All that a tokenizer says about `data`, in plain values: everything, or its refusal."""
    try:
        found = tokens(data, delimiters)
    except MessageError as refusal:
        return refusal.reason, refusal.location, refusal.code, str(refusal)
    found.charset = charset or found.charset
    whole = found.raw, found.delimiters, found.odd, found.ascii, found.plain, found.hexed
    return whole, [list(_segment(found, at)) for at in range(len(found))]


def _segment(tokens: Any, at: int) -> Iterator[Any]:
    name = tokens.name(at)
    yield name, tokens.span(at), tokens.fields(at), tokens.find(name), tokens.find(name, at + 1)
    yield tokens.census((b"PID", name, b"PV1"))
    for field in range(tokens.fields(at) + 2):
        whole = tokens.cut(at, field, 0)
        repetitions = tokens.repetitions(at, field)
        yield field, whole, repetitions, tokens.text(at, field, 0, 0, 0)
        for repetition in range(min(repetitions, FEW) + 2):
            yield from _repetition(tokens, at, field, repetition)


def _repetition(tokens: Any, at: int, field: int, repetition: int) -> Iterator[Any]:
    whole = tokens.cut(at, field, repetition)
    for component in range(min(whole.count(tokens.delimiters[1]), FEW) + 3):
        part = tokens.cut(at, field, repetition, component)
        yield part, tokens.text(at, field, repetition, component, 0)
        for subcomponent in range(1, min(part.count(tokens.delimiters[4]), FEW) + 3):
            place = at, field, repetition, component, subcomponent
            yield tokens.cut(*place), tokens.text(*place)


def built(
    door: ModuleType, data: bytes, plan: tuple[tuple[bytes, ...], Any], given: tuple[Any, ...]
) -> Any:
    """What a plan builds and writes from `data` behind that door, or the refusal."""
    try:
        tokens = door.Tokens(data)
    except MessageError as refusal:
        return refusal.reason, refusal.location
    compiled = door.Plan(*plan)
    value, unread = compiled.build(tokens, given, "+02:00")
    if plan[1][0] == "struct" and plan[1][3:] == (None, None):  # what an event is
        written = door.write(compiled, tokens, given, "+02:00")
        assert written == (msgspec.json.encode(value), unread), written
    return value, unread


@cache
def scribe(door: ModuleType) -> Any:
    """What writes all events there are behind that door."""
    plans = {tag: door.Plan(plan.slots, plan.node) for tag, plan in extract._PLANS.items()}
    given = ("feed", "hl7v2", "default")
    return door.Scribe(
        door.Plans(extract._cases(plans)), hashlib.sha256(b"feed\0"), given, "+01:00"
    )
