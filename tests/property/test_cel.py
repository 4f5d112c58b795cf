"""CEL is held to Google's implementation of it, and the matcher of patterns to RE2."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fifhir import cel
from fifhir.cel import regex
from fifhir.errors import CelError, CelFault
from fifhir.workflow import glimpse

oracle = pytest.importorskip("cel_expr_python.cel", reason="no wheel for this machine")
re2 = pytest.importorskip("re2", reason="no wheel for this machine")

EVENT: dict[str, Any] = {
    "i": 7,
    "z": 0,
    "f": 2.5,
    "s": "Lab-7",
    "u": "Grüße 😀",
    "t": True,
    "n": None,
    "l": [1, 2, 3],
    "e": [],
    "w": ["a", "b", "Lab-7"],
    "m": {"a": 1, "b": {"c": "x"}},
    "r": [{"v": "1", "k": 1}, {"v": "2"}, {"v": "3", "k": 3}],
    "at": "2026-01-31T23:30:00.25Z",
}

ENVIRONMENT = oracle.NewEnv(variables={"event": oracle.Type.DYN})

whole = st.sampled_from(["0", "1", "-3", "7", "9223372036854775807", "event.i", "event.z"])
double = st.sampled_from(["0.0", "2.5", "-1.5", "1e300", "event.f"])
text = st.sampled_from(["''", "'a'", "'Lab-7'", "'😀'", "event.s", "event.u", "event.m.b.c"])
missing = st.sampled_from(["event.nope", "event.m.nope", "event.l[9]", "event.n.x", "event['q']"])
known = st.sampled_from(["true", "false", "event.t", "has(event.s)", "has(event.m.q)"])


def joined(kind: st.SearchStrategy[str], *signs: str) -> st.SearchStrategy[str]:
    return st.tuples(kind, st.sampled_from(signs), kind).map(lambda made: f"({' '.join(made)})")


wholes = st.recursive(
    whole | st.sampled_from(["size(event.l)", "event.u.size()", "int(event.f)"]),
    lambda inner: joined(inner, "+", "-", "*", "/", "%") | inner.map(lambda x: f"-({x})"),
    max_leaves=4,
)
doubles = st.recursive(
    double | whole.map(lambda x: f"double({x})"),
    lambda inner: joined(inner, "+", "-", "*", "/"),
    max_leaves=3,
)
texts = text | joined(text, "+") | whole.map(lambda x: f"string({x})")
lists = st.sampled_from(
    ["event.l", "event.e", "[1, 2]", "[event.i, 2.5]", "event.w", "['a', event.s]", "[null]"]
)
maps = st.sampled_from(["event.m", "{}", "{'a': 1}", "{'a': event.i, 'x': [1]}", "event.r[0]"])
times = st.sampled_from(
    ["timestamp(event.at)", "timestamp('2020-02-29T12:00:00+05:30')", "timestamp(1000)"]
)
spans = st.sampled_from(["duration('1h30m')", "duration('-1.5s')", "duration('100ms')"])
anything = wholes | doubles | texts | lists | maps | known | missing | st.just("null")


def composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions over conditions, and over values of every type."""
    return st.one_of(
        joined(inner, "&&", "||"),
        inner.map(lambda x: f"!({x})"),
        st.tuples(inner, inner, inner).map(lambda x: f"({x[0]} ? {x[1]} : {x[2]})"),
        st.tuples(
            st.sampled_from(["event.l", "event.e", "event.r", "[0, 1]", "event.m"]),
            st.sampled_from(["all", "exists", "exists_one"]),
            st.sampled_from(["x == 1", "x.k == 1", "has(x.k)", "1 / x == 1", "x.v in ['1', '3']"])
            | inner,
        ).map(lambda x: f"{x[0]}.{x[1]}(x, {x[2]})"),
    )


compared = st.one_of(
    joined(anything.map(lambda x: f"dyn({x})"), "==", "!=", "<", "<=", ">", ">="),
    joined(wholes, "==", "<", ">="),
    joined(doubles, "==", "<", ">="),
    joined(times, "==", "<", ">="),
    joined(spans, "!=", "<=", ">"),
    st.tuples(times, st.sampled_from("+-"), spans, times).map(
        lambda x: f"{x[0]} {x[1]} {x[2]} < {x[3]}"
    ),
    st.tuples(anything, lists | maps).map(lambda x: f"dyn({x[0]}) in {x[1]}"),
    st.tuples(text, st.sampled_from(["startsWith", "endsWith", "contains", "matches"]), text).map(
        lambda x: f"{x[0]}.{x[1]}({x[2]})"
    ),
    st.tuples(
        st.sampled_from(["event.l", "event.w", "event.r", "event.m"]),
        st.sampled_from(["map(x, x)", "filter(x, x == 2)", "map(x, x == 1, x + 1)", "map(x, x.k)"]),
        lists,
    ).map(lambda x: f"{x[0]}.{x[1]} == {x[2]}"),
    st.tuples(
        times,
        st.sampled_from(["getFullYear", "getMonth", "getDate", "getDayOfWeek", "getHours"]),
        st.sampled_from(["", "'+05:30'", "'America/New_York'"]),
        wholes,
    ).map(lambda x: f"{x[0]}.{x[1]}({x[2]}) > {x[3]}"),
)
conditions = st.recursive(known | missing | compared, composed, max_leaves=6)


def ours(text: str) -> object:
    try:
        return cel.evaluate(text, EVENT)
    except (CelError, CelFault):
        return "error"


def theirs(text: str) -> object:
    try:
        answer = ENVIRONMENT.compile(text, disable_check=True).eval(data={"event": EVENT})
    except RuntimeError:
        return "error"
    return "error" if str(answer.type()) == "ERROR" else answer.value()


@settings(deadline=None, max_examples=300)
@given(conditions)
def test_a_condition_means_what_it_means_to_google(text: str) -> None:
    assert ours(text) == theirs(text), text


@settings(deadline=None, max_examples=200)
@given(
    conditions, st.sampled_from([EVENT, {}, {"m": None, "l": {}, "r": [1]}, {"r": None, "m": {}}])
)
def test_a_condition_needs_no_more_of_an_event_than_it_says(
    text: str, event: dict[str, Any]
) -> None:
    try:
        condition = cel.compile(text)
    except CelError:
        return
    seen = glimpse.decoder(condition.needs)(msgspec.json.encode(event))
    assert asked(condition, seen) == asked(condition, event)


def asked(condition: cel.Predicate, event: dict[str, Any]) -> object:
    try:
        return condition(event)
    except CelFault:
        return "error"


@settings(deadline=None, max_examples=200)
@given(wholes | doubles | texts)
def test_a_value_is_what_it_is_to_google(text: str) -> None:
    found, wanted = ours(text), theirs(text)
    if isinstance(found, float) and isinstance(wanted, float) and math.isnan(found):
        assert math.isnan(wanted)
    else:
        assert (type(found), found) == (type(wanted), wanted), text


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=40) | st.text(alphabet="event.is()[]{}\"'&|!<>=+-*/%?:, 0123456789axr\\#\n")
)
def test_any_text_is_a_condition_or_a_told_mistake(text: str) -> None:
    column = 1
    try:
        cel.compile(text)
    except CelError as fault:
        column = fault.column
    assert 1 <= column <= len(text) + 1


letters = st.sampled_from(["a", "b", "c", ".", r"\d", r"\w", "[a-c]", "[^b]", r"\s", "é", "^", "$"])
pieces = letters | st.sampled_from([r"\b", r"\B", "(?i:A)", r"\pL", r"[[:digit:]x]", r"\x41", "-"])
patterns = st.recursive(
    pieces,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda x: f"({x[0]}|{x[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "{0,}"])).map(
            lambda x: f"(?:{x[0]}){x[1]}"
        ),
    ),
    max_leaves=10,
)


@settings(deadline=None, max_examples=500)
@given(patterns, st.text(alphabet="abcAB01 é\n_-x", max_size=20))
def test_a_pattern_finds_what_re2_finds(pattern: str, text: str) -> None:
    wanted = re2.search(pattern, text) is not None
    assert regex.compile(pattern).search(text) is wanted


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="ab()[]{}*+?|\\^$.,-:<>=!12dwsbBpLQExi", max_size=14))
def test_any_pattern_is_refused_by_both_or_by_neither(pattern: str) -> None:
    try:
        found = regex.compile(pattern).search("ab12")
    except CelFault:
        return  # the subset is smaller: what it lacks is refused, never read otherwise
    options = re2.Options()
    options.log_errors = False
    assert found is (re2.search(pattern, "ab12", options) is not None)
