"""What a type makes of a text, and what it says when it can make nothing of it."""

from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from fifhir.document import compose
from fifhir.schema import Duration, Faults, duration, read


class Inner(Struct, frozen=True):
    number: Annotated[int, Meta(ge=1, le=9)]
    flag: bool = False


class Outer(Struct, frozen=True):
    text: Annotated[str, Meta(min_length=1, max_length=8, pattern="^[a-zA-Z0-9.]*$")] = "x"
    pause: Annotated[Duration, Meta(ge=1)] = 1.0
    level: Literal["high", "low"] = "low"
    inner: Inner = Inner(1)
    names: str | tuple[str, ...] = ()
    many: Annotated[tuple[Inner, ...], Meta(max_length=3, extra={"unique": "number"})] = ()

    def faults(self) -> Faults:
        if self.text == "odd":
            yield ("text",), "must be even"


def given(text: str) -> Outer:
    node, findings = compose(text, "f")
    assert node is not None
    value, wrong = read(node, Outer)
    assert [*findings, *wrong] == []
    assert value is not None
    return value


def faults(text: str) -> list[str]:
    node, findings = compose(text, "f")
    assert node is not None
    value, wrong = read(node, Outer, frozenset({"later"}))
    assert value is None
    return [str(finding) for finding in (*findings, *wrong)]


def test_types_read_what_was_written() -> None:
    value = given(
        "text: 1.10\npause: 1m30s\nlevel: high\ninner: {number: 7, flag: true}\n"
        "names: [NO, 'true']\nmany: [{number: 1}, {number: 2}]"
    )
    assert value == Outer(
        "1.10", 90.0, "high", Inner(7, True), ("NO", "true"), (Inner(1), Inner(2))
    )


def test_one_name_may_stand_for_a_list_of_one() -> None:
    assert given("names: a").names == "a"


def test_an_empty_value_is_the_default() -> None:
    assert given("text:\ninner: ~\nnames:") == Outer()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("txet: a", "f:1:1: unknown field 'txet', did you mean 'text'?"),
        ("zzz: a", "f:1:1: unknown field 'zzz'; known: text, pause, level, inner, names, many"),
        ("later: a", "f:1:1: 'later' is not available yet in this release"),
        ("<<: {}", "f:1:1: merge keys (<<) are not supported; use an alias for a whole value"),
        ("[]", "f:1:1: expected a mapping, found a list"),
        ("text: [a]", "f:1:7: expected text, found a list"),
        ("text: true", "f:1:7: expected text, found true; put it in quotes if text is meant"),
        ("text: ''", "f:1:7: must not be empty"),
        ("text: abcdefghi", "f:1:7: longer than 8 characters"),
        ("text: a b", "f:1:7: must match ^[a-zA-Z0-9.]*$"),
        ("text: odd", "f:1:7: must be even"),
        ("pause: 30", "f:1:8: expected a duration with its unit, as in 250ms, 30s or 5m"),
        ("pause: 5ms", "f:1:8: must be at least 1s"),
        ("level: hihg", "f:1:8: must be one of high, low; found 'hihg', did you mean 'high'?"),
        ("inner: {}", "f:1:8: missing field 'number'"),
        ("inner: {number: }", "f:1:17: expected a whole number, found nothing"),
        ("inner: {number: 1e3}", "f:1:17: expected a whole number, found '1e3'"),
        ("inner: {number: 10}", "f:1:17: must be between 1 and 9"),
        ("inner: {number: 1, flag: yes}", "f:1:26: expected true or false, found 'yes'"),
        ("names: {a: b}", "f:1:8: expected text, found a mapping"),
        ("many: a", "f:1:7: expected a list, found 'a'"),
        (
            "many: [{number: 1}, {number: 1}]",
            "f:1:30: duplicate number '1', first given in line 1",
        ),
        (
            "many: [{number: 1}, {number: 2}, {number: 3}, {number: 4}]",
            "f:1:7: 4 entries are too many; at most 3",
        ),
    ],
)
def test_a_fault_names_place_found_and_wanted(text: str, finding: str) -> None:
    assert faults(text) == [finding]


def test_all_faults_are_told_at_once() -> None:
    assert len(faults("txet: a\npause: x\nmany: [{number: 0}, {flag: 1}]")) == 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("250ms", 0.25), ("1.5h", 5400.0), ("1h2m3s", 3723.0), ("10us", 1e-5)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "s", "1 s", "1d", "1s2", "٣s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)
