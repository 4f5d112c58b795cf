"""The compiled tokenizer is its specification: on messages, on dirt, on every kind of plan."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeAlias

from hypothesis import example, given
from hypothesis import strategies as st

from fifhir import extract
from tests.property.messages import SLOTS, Pair, delimiters, dirt, messages, nodes
from tests.twins import built, observe

Twins: TypeAlias = tuple[ModuleType, ModuleType]
GIVEN = ("one", None, "two")
ARGUMENTS = ("id", "received", "source", "hl7v2", "profile", "segments")


@given(raw=messages())
@example(raw=b"MSH|^~\\&|" + b"a^" * 70 + b"\rOBX|" + b"x^y&z~" * 70)
def test_twins_agree_on_every_address_of_a_message(twins: Twins, raw: bytes) -> None:
    python, compiled = twins
    assert observe(compiled.Tokens, raw) == observe(python.Tokens, raw)


@given(raw=dirt())
@example(raw=b"")
@example(raw=b"MSH\n|&H|&")  # a line end for a delimiter
@example(raw=b"MSH|^~\\&")
@example(raw=b"MSH|^~\\&\r")
@example(raw=b"MSH|^~\\&|\xff")
def test_twins_agree_on_anything(twins: Twins, raw: bytes) -> None:
    python, compiled = twins
    assert observe(compiled.Tokens, raw) == observe(python.Tokens, raw)


@given(
    raw=st.one_of(messages(), dirt()),
    believed=delimiters(),
    charset=st.sampled_from(["cp1252", "utf-16"]),
)
@example(raw=b"MSH|\xde~\\&|a", believed=b"|^~\\&", charset="cp1252")
@example(raw="MSH|\xde~\\&|a".encode(), believed=b"|^~\\&", charset="cp1252")
def test_twins_agree_when_told_the_delimiters(
    twins: Twins, raw: bytes, believed: bytes, charset: str
) -> None:
    python, compiled = twins
    told = observe(compiled.Tokens, raw, believed, charset)
    assert told == observe(python.Tokens, raw, believed, charset)


@given(raw=messages(), node=nodes())
@example(
    raw=b'MSH|^~\\&|""|b',
    node=("tuple", (("text", (0, 3, 0, 0), ""), ("text", (0, 4, 0, 0), ""))),
)
@example(raw=b'MSH|^~\\&|""|b', node=("tuple", (("text", (0, 3, 0, 0), ""),)))
@example(
    raw=b"MSH|^~\\&|" + b"^".join(b"%d" % n for n in range(80)),
    node=("tuple", tuple(("text", (0, 3, n, 0), "") for n in range(26, 86))),
)
@example(
    raw=b"MSH|^~\\&|\rOBX|1",
    node=(
        "struct",
        Pair,
        (("given", 0), ("first", (("any", b"OBX", 1, (b"A",)),), "")),
        None,
        None,
    ),
)
def test_twins_build_the_same_from_any_plan(twins: Twins, raw: bytes, node: Any) -> None:
    python, compiled = twins
    plan = (SLOTS, node)
    assert built(compiled, raw, plan, GIVEN) == built(python, raw, plan, GIVEN)


@given(raw=messages(), name=st.sampled_from(sorted(extract._PLANS)))
def test_twins_build_the_same_from_the_real_plans(twins: Twins, raw: bytes, name: str) -> None:
    python, compiled = twins
    plan = extract._PLANS[name]
    told = built(compiled, raw, (plan.slots, plan.node), ARGUMENTS)
    assert told == built(python, raw, (plan.slots, plan.node), ARGUMENTS)


def structs(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        if node[:1] == ("struct",):
            yield node
        for kid in node:
            yield from structs(kid)


def test_every_struct_of_the_tables_that_moves_has_a_default() -> None:
    """As the generated plans suppose."""
    found = [node for plan in extract._PLANS.values() for node in structs(plan.node)]
    assert len(found) > 50
    assert all(default is not None for *_, place, default in found if place is not None)


@given(
    raw=messages(),
    at=st.integers(-3, 20),
    place=st.tuples(*[st.integers(-2, 70)] * 4),
)
def test_twins_answer_any_address_alike(
    twins: Twins, raw: bytes, at: int, place: tuple[int, int, int, int]
) -> None:
    def answer(door: ModuleType) -> Any:
        tokens = door.Tokens(raw)
        try:
            return tokens.cut(at, *place), tokens.text(at, *place), tokens.repetitions(at, place[0])
        except IndexError:
            return IndexError

    python, compiled = twins
    assert answer(compiled) == answer(python)


@given(number=st.from_regex(r"[+-]?[0-9]{0,17}(\.[0-9]{0,17})?", fullmatch=True))
@example(number="-0")
@example(number="-0.0")
@example(number="0.000050")
@example(number="13.40")
@example(number="999999999999999.0")
def test_twins_write_the_same_numbers(twins: Twins, number: str) -> None:
    raw = b"MSH|^~\\&|" + number.encode()
    node = ("struct", Pair, (("number", (0, 3, 1, 1), ""), ("constant", "x")), None, None)
    told = [built(door, raw, ((b"MSH",), node), GIVEN) for door in twins]
    assert told[0] == told[1]
