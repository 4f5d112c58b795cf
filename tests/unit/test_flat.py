"""An action may be written with blocks or with flat keys, and means the same."""

from typing import Annotated

import pytest
from msgspec import Meta, Struct

from fifhir.document import compose
from fifhir.schema import read


class Action(Struct, frozen=True, kw_only=True):
    retry: Annotated[bool, Meta(extra={"block": "retry_"})] = True
    retry_max: int = 3
    retry_on: str = ""
    circuit_breaker: Annotated[bool, Meta(extra={"block": "circuit_"})] = False
    circuit_threshold: Annotated[int, Meta(ge=1)] = 5
    headers: Annotated[dict[str, str], Meta(extra={"flat": "header_"})] = {}


def given(text: str) -> tuple[Action | None, list[str]]:
    node, findings = compose(text, "f")
    assert node is not None
    action, wrong = read(node, Action)
    return action, [f"{finding.code} {finding}" for finding in (*findings, *wrong)]


@pytest.mark.parametrize(
    ("blocks", "flat", "wanted"),
    [
        ("retry: {max: 1}", "retry_max: 1", Action(retry_max=1)),
        ("retry: {enabled: false}", "retry: false", Action(retry=False)),
        (
            "circuit_breaker: {threshold: 2}",
            "circuit_breaker: true\ncircuit_threshold: 2",
            Action(circuit_breaker=True, circuit_threshold=2),
        ),
        (
            "headers: {X-A: b, C: d}",
            "header_X-A: b\nheader_C: d",
            Action(headers={"X-A": "b", "C": "d"}),
        ),
        (
            "headers: {X-A: b}\nheader_C: d",
            "header_C: d\nheaders: {X-A: b}",
            Action(headers={"X-A": "b", "C": "d"}),
        ),
    ],
)
def test_blocks_and_flat_keys_mean_the_same(blocks: str, flat: str, wanted: Action) -> None:
    assert given(blocks) == given(flat) == (wanted, [])


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("retry: {max: 1}\nretry_max: 2", "FF101 f:2:1: 'retry_max' is given twice"),
        ("header_A: 1\nheaders: {A: 2}", "FF101 f:1:1: 'header_A' is given twice"),
        ("retry: {maxx: 1}", "FF103 f:1:9: unknown field 'retry_maxx', did you mean 'retry_max'?"),
        ("circuit_breaker: {threshold: 0}", "FF105 f:1:30: must be at least 1"),
        ("retry: [1]", "FF105 f:1:8: expected true or false, found a list"),
        ("headers: text", "FF105 f:1:10: expected a mapping, found 'text'"),
    ],
)
def test_a_mistake_is_told_where_it_was_written(text: str, finding: str) -> None:
    assert given(text) == (None, [finding])


def test_an_alias_of_a_block_is_not_changed_by_flat_keys() -> None:
    class Both(Struct, frozen=True):
        one: Action
        two: Action

    node, _ = compose("one: {headers: &h {A: b}, header_C: d}\ntwo: {headers: *h}", "f")
    assert node is not None
    both, wrong = read(node, Both)
    assert wrong == []
    assert both is not None
    assert (both.one.headers, both.two.headers) == ({"A": "b", "C": "d"}, {"A": "b"})
