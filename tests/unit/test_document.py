"""Texts are refused before they can cost anything, and every value knows its place."""

import pytest

from fifhir.document import DEPTH_LIMIT, TEXT_LIMIT, Mapping, Scalar, Sequence, compose


def faults(text: str, environ: dict[str, str] | None = None) -> list[str]:
    return [str(finding) for finding in compose(text, "f", environ)[1]]


def test_every_value_and_key_knows_its_place() -> None:
    root, findings = compose("a:\n  - é: [1, 'x']\n", "f.yaml")
    assert findings == []
    assert isinstance(root, Mapping)
    assert root.entries["a"].place == "f.yaml:1:1"
    items = root.entries["a"].node
    assert isinstance(items, Sequence)
    inner = items.items[0]
    assert isinstance(inner, Mapping)
    assert inner.entries["é"].place == "f.yaml:2:5"
    pair = inner.entries["é"].node
    assert isinstance(pair, Sequence)
    assert pair.items == [Scalar("f.yaml:2:9", "1"), Scalar("f.yaml:2:12", "x", plain=False)]


@pytest.mark.parametrize("text", ["NO", "012", "1:30", "1.10", "on", "2026-01-01"])
def test_scalars_stay_as_written(text: str) -> None:
    root, _ = compose(f"key: {text}", "f")
    assert isinstance(root, Mapping)
    node = root.entries["key"].node
    assert isinstance(node, Scalar)
    assert node.text == text


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "f:1:1: the file is empty"),
        ("a: 1\nb: 2\na: 3", "f:3:1: duplicate field 'a', first given at 1:1"),
        ("a: !!python/object:os.system x", "f:1:4: tags (!name) are not supported"),
        ("a: !b {}", "f:1:4: tags (!name) are not supported"),
        ("? [a]\n: 1", "f:1:3: a key must be text"),
        ("a: 1\n---\nb: 1", "f:2:1: a second document; one is allowed"),
        ("a: *b", "f:1:4: alias *b has no finished anchor before it"),
        ("a: &b [*b]", "f:1:8: alias *b has no finished anchor before it"),
        ("a: 1\n b: 2", "f:2:3: not YAML: mapping values are not allowed in this context"),
        ("a: 1\nb: \x07", "f:2:4: not YAML: control characters are not allowed"),
        ("a" * (TEXT_LIMIT + 1), f"f: larger than {TEXT_LIMIT} characters"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, finding: str) -> None:
    assert faults(text) == [finding]


def test_aliases_that_stand_for_billions_of_values_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (finding,) = faults("\n".join(lines))
    assert "more than 50000 values once aliases are followed" in finding


def test_endless_nesting_is_refused() -> None:
    (finding,) = faults("[" * 100_000)
    assert finding == f"f:1:{DEPTH_LIMIT + 1}: nested deeper than {DEPTH_LIMIT} levels"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "x y"),
        ("a${NAME}b", "ax yb"),
        ("${UNSET:-later}", "later"),
        ("${EMPTY:-later}", "later"),
        ("${UNSET:-}", ""),
        ("$${NAME}", "${NAME}"),
        ("$5", "$5"),
    ],
)
def test_variables_are_replaced(text: str, value: str) -> None:
    root, findings = compose(f"key: {text}", "f", {"NAME": "x y", "EMPTY": ""})
    assert findings == []
    assert isinstance(root, Mapping)
    node = root.entries["key"].node
    assert isinstance(node, Scalar)
    assert node.text == value
    assert not node.null


def test_a_missing_variable_and_an_unfinished_one_are_told() -> None:
    assert faults("a: ${GONE}\nb: ${x", {}) == [
        "f:1:4: the environment variable GONE is not set and has no default",
        "f:2:4: unfinished variable; write ${NAME}, ${NAME:-default}, ${file:PATH}, "
        "or $${ for a literal ${",
    ]


def test_a_replaced_value_cannot_become_structure() -> None:
    root, findings = compose("a: ${EVIL}", "f", {"EVIL": "{b: [1]}\n--- !x"})
    assert findings == []
    assert isinstance(root, Mapping)
    assert isinstance(root.entries["a"].node, Scalar)
