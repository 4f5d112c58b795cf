"""What a stencil makes is what the acknowledgment would have been."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fifhir import ack
from fifhir.mllp import frame
from fifhir.stencil import Stencils

HEAD = (
    b"MSH|^~\\&|ADT1|WEST|FIFHIR|HERE|2026030207|SECRET|ADT^A01^ADT_A01|M1|P|2.5.1|||AL|NE||8859/1"
)
REST = b"\rPID|1||9001\r"
TIME = "20260101000000+0000"


def by_stencil(stencils: Stencils, raw: bytes) -> bytes | None:
    """The frames a stencil makes the second time such an MSH comes; None if there is none."""
    assert stencils.find(raw) is None
    found = stencils.find(raw)
    if found is None:
        return None
    stencil, control_id = found
    return stencil.fill(TIME.encode(), (b"OWN%d" % number for number in count()), control_id)


def by_hand(raw: bytes, mode: ack.Mode, signature: ack.Signature) -> bytes:
    head = ack.header(raw)
    assert ack.fault(head) is None
    due = enumerate(ack.codes(head, None, mode))
    return b"".join(
        frame(ack.encode(head, code, written=TIME, control_id=f"OWN{n}", signature=signature))
        for n, code in due
    )


@pytest.mark.parametrize("mode", ["auto", "application", "enhanced"])
@pytest.mark.parametrize(
    "head",
    [
        HEAD,
        HEAD.replace(b"|AL|NE|", b"|AL|AL|"),
        HEAD.replace(b"|AL|NE|", b"|NE|NE|"),
        HEAD.replace(b"|AL|NE|", b"||"),
        HEAD.replace(b"|", b"$").replace(b"^", b"*"),
        HEAD.replace(b"M1", b"A-1.2 \\T\\ 'x'"),
        HEAD.replace(b"FIFHIR", b"F\x01"),
        HEAD.replace(b"ADT1", b"x" * 300),
        HEAD.replace(b"2.5.1", b""),
        b"MSH|^~\\&|A||||||ADT|1|P",
    ],
)
@pytest.mark.parametrize("signature", [ack.ANONYMOUS, ack.Signature(b"OUR|APP", b"HERE")])
def test_a_stencil_makes_what_would_have_been_made(
    head: bytes, mode: ack.Mode, signature: ack.Signature
) -> None:
    made = by_stencil(Stencils(mode, signature), head + REST)
    assert made == by_hand(head + REST, mode, signature)


def test_the_time_and_the_control_id_do_not_make_another_head() -> None:
    stencils = Stencils("auto", ack.ANONYMOUS)
    raw = HEAD + REST
    assert stencils.find(raw) is None
    found = stencils.find(raw.replace(b"2026030207", b"2027").replace(b"M1", b"OTHER"))
    assert found is not None
    assert b"\rMSA|CA|OTHER\r" in found[0].fill(b"T", iter([b"O"]), found[1])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"WRONG",
        b"MSH",
        HEAD,
        HEAD + b"\n" + REST,
        (HEAD + REST).replace(b"\r", b"\r\n"),
        HEAD + REST + b"MSA|AA|1\r",
        HEAD.replace(b"ADT^A01", b"ACK^A01") + REST + b"MSA|AA|1\r",
        HEAD.replace(b"M1", b"") + REST,
        HEAD.replace(b"M1", b'""') + REST,
        HEAD.replace(b"M1", b"a\tb") + REST,
        HEAD.replace(b"ADT^A01^ADT_A01", b"") + REST,
        HEAD.replace(b"WEST", b"W\xc4ST") + REST,
        HEAD.replace(b"WEST", b"W\x1bST") + REST,
        HEAD.replace(b"WEST", b"Marked0Own") + REST,
        (HEAD + REST).decode("latin-1").encode("utf-16"),
    ],
)
def test_what_is_out_of_the_ordinary_has_no_stencil(raw: bytes) -> None:
    assert by_stencil(Stencils("auto", ack.ANONYMOUS), raw) is None


def test_an_acknowledgment_has_a_stencil_that_says_nothing() -> None:
    raw = HEAD.replace(b"ADT^A01^ADT_A01", b"ACK") + REST
    assert by_stencil(Stencils("application", ack.ANONYMOUS), raw) == b""


def test_heads_that_never_come_again_take_no_room_for_long() -> None:
    stencils = Stencils("auto", ack.ANONYMOUS)
    for number in range(5000):
        assert stencils.find(HEAD.replace(b"WEST", b"W%d" % number) + REST) is None
    assert by_stencil(stencils, HEAD + REST) is not None


FIELD = st.binary(max_size=12).map(lambda value: value.replace(b"\r", b""))


@settings(max_examples=300)
@given(
    fields=st.lists(FIELD, min_size=8, max_size=20),
    mode=st.sampled_from(["auto", "application", "enhanced"]),
)
def test_whatever_stands_in_an_msh_the_answer_is_the_same(
    fields: list[bytes], mode: ack.Mode
) -> None:
    raw = b"|".join((b"MSH|^~\\&", *fields)) + REST
    made = by_stencil(Stencils(mode, ack.ANONYMOUS), raw)
    if made is not None:
        assert made == by_hand(raw, mode, ack.ANONYMOUS)
