"""The compiled part of HTTP is its specification."""

import importlib

from hypothesis import example, given
from hypothesis import strategies as st

compiled, python = (importlib.import_module(f"fifhir.{name}") for name in ("_http1", "_http1_py"))

OPENING, ENDING = b"POST / HTTP/1.1\r\nContent-Length: ", b"\r\nHost: a\r\n\r\n"
PIECES = st.sampled_from([OPENING, ENDING, b"3", b"12", b"0", b"9" * 15, b"+", b" ", b"MSH", b"\r"])


@given(
    data=st.one_of(
        st.lists(PIECES, max_size=6).map(b"".join),
        st.tuples(st.integers(0, 10**16), st.binary(max_size=20)).map(
            lambda found: OPENING + b"%d" % found[0] + ENDING + found[1]
        ),
    ),
    opening=st.sampled_from([OPENING, b"", OPENING[:-1]]),
    ending=st.sampled_from([ENDING, b"", ENDING[1:]]),
    limit=st.sampled_from([0, 3, 1000, 1 << 62]),
)
@example(OPENING + b"3" + ENDING + b"MSH", OPENING, ENDING, 3)
@example(OPENING + b"0" * 14 + b"3" + ENDING + b"MSH", OPENING, ENDING, 3)
@example(OPENING + b"0" * 15 + b"3" + ENDING + b"MSH", OPENING, ENDING, 3)
@example(OPENING + b"4" + ENDING + b"MSH", OPENING, ENDING, 3)
@example(OPENING + b"3" + ENDING + b"MSH", OPENING, ENDING, 2)
@example(OPENING, OPENING, ENDING, 0)
def test_twins_find_the_same_body(data: bytes, opening: bytes, ending: bytes, limit: int) -> None:
    found = python.body_of(data, opening, ending, limit)
    assert compiled.body_of(data, opening, ending, limit) == found


@given(
    head=st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    body=st.lists(st.binary(max_size=300), max_size=5).map(tuple),
)
@example((b"HTTP/1.1 200 OK\r\n",), ())
@example((), (b"x" * 100_000,))
def test_twins_put_the_same_answer_together(
    head: tuple[bytes, ...], body: tuple[bytes, ...]
) -> None:
    assert compiled.answer(head, body) == python.answer(head, body)
