"""A head seen before changes nothing but the work: the parser would have said the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fifhir.ingress.exchange import BODY_TOO_LARGE, OVERLOADED, Fault, Limits, Request
from fifhir.ingress.framing import Framer

LINES = b"POST /a?source=x HTTP/1.1\r\nHost: a\r\nX-Source: lab\r\n"
PRIMER = LINES + b"Content-Length: 3\r\nContent-Type: text/plain\r\n\r\nMSH"
LIMITS = Limits(body=1000, held=2000)


class Listener:
    """Feeds a framer and keeps what came out; one that `forgets` parses every head."""

    now = 0.0

    def __init__(self, *, forgets: bool = False) -> None:
        self.held = 0
        self.taken: list[tuple[bytes, bytes, dict[bytes, bytes], bool, bytes]] = []
        self.waits = 0
        self._forgets = forgets
        self._framer = Framer(LIMITS, self, self._take, self._expect)

    def feed(self, *pieces: bytes) -> Fault | None:
        for piece in pieces:
            if self._forgets:
                self._framer._head = None
            fault = self._framer.feed(piece)
            if fault is not None:
                self._framer.close()
                return fault
        return None

    @property
    def remembers(self) -> bool:
        return self._framer._head is not None

    def may_enter(self, request: Request) -> Fault | None:
        return None

    def _take(self, request: Request) -> None:
        self.held -= request.size
        headers = {name: it for name, it in request.headers.items() if name != b"content-length"}
        what = request.method, request.target, headers, request.keep_alive, request.body
        assert request.size == len(request.body)
        self.taken.append(what)

    def _expect(self) -> None:
        self.waits += 1


def both(*pieces: bytes) -> tuple[Listener, Fault | None]:
    """The listener with a memory, after the one without has been told the same."""
    one, other = Listener(), Listener(forgets=True)
    fault = one.feed(*pieces)
    assert fault == other.feed(*pieces)
    assert (one.taken, one.held, one.waits) == (other.taken, other.held, other.waits)
    return one, fault


def usual(body: bytes, length: bytes = b"") -> bytes:
    return PRIMER.replace(b": 3\r\n", b": %b\r\n" % (length or b"%d" % len(body)))[:-3] + body


def test_the_same_head_brings_bodies_of_other_lengths() -> None:
    bodies = [b"MSH", b"", b"x", b"12345678901", b"y" * 1000]
    listener, _ = both(PRIMER, *map(usual, bodies))
    assert [request[-1] for request in listener.taken] == [b"MSH", *bodies]
    assert listener.remembers


@pytest.mark.parametrize("place", range(len(PRIMER)))
@pytest.mark.parametrize("octet", [b"\0", b"\n", b" ", b"0", b"A", b":", b"\r\n", b"\xff", b""])
def test_a_head_that_differs_in_one_byte_is_parsed(place: int, octet: bytes) -> None:
    both(PRIMER, PRIMER[:place] + octet + PRIMER[place + 1 :], PRIMER)


@pytest.mark.parametrize("place", range(len(PRIMER) + 1))
def test_a_partial_request_is_parsed(place: int) -> None:
    listener, _ = both(PRIMER, PRIMER[:place], PRIMER[place:], PRIMER)
    assert len(listener.taken) == 3


@pytest.mark.parametrize(
    "length",
    [
        *(b"+3", b"-3", b" 3", b"3 ", b"03", b"3,3", b"0x3", b"\xb2", b"3\r\n 1", b"3\n", b"2"),
        *(b"4", b"9" * 15, b"9" * 16, b"9" * 19, b"9" * 20, b"0" * 14 + b"3", b"0" * 15 + b"3"),
    ],
)
def test_a_length_means_what_the_parser_says(length: bytes) -> None:
    both(PRIMER, usual(b"MSH", length), PRIMER, PRIMER)


@pytest.mark.parametrize(
    "request_",
    [
        LINES + b"Transfer-Encoding: chunked\r\n\r\n3\r\nMSH\r\n0\r\n\r\n",
        LINES + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nMSH\r\n0\r\n\r\n",
        LINES + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nMSH",
        LINES + b"Content-Length: 3\r\nHost: b\r\n\r\nMSH",
        LINES + b"Content-Length: 3\r\nConnection: close\r\n\r\nMSH",
        LINES + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\nMSH",
        LINES + b"Content-Length: 3\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nMSH",
        LINES + b"X: 1\r\n Content-Length: 3\r\n\r\n",
        LINES + b"Content-Length: 3\r\nX: 1\r\n\tContent-Length: 3\r\n\r\nMSH",
        LINES.replace(b"1.1", b"1.0") + b"Content-Length: 3\r\n\r\nMSH",
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
        LINES + b"Content-Length: 3\r\n\r\nMSH" + PRIMER,
        b"\r\n" + PRIMER,
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" + PRIMER,
    ],
)
def test_what_is_unusual_is_parsed_before_and_after(request_: bytes) -> None:
    both(PRIMER, request_, PRIMER)
    both(request_, request_, PRIMER, request_)


def test_requests_in_one_read_are_parsed_in_order() -> None:
    listener, _ = both(PRIMER, PRIMER + usual(b"two") + usual(b"three"), PRIMER)
    assert [request[-1] for request in listener.taken[1:4]] == [b"MSH", b"two", b"three"]


def test_limits_hold_for_a_head_seen_before() -> None:
    _, fault = both(PRIMER, usual(b"x" * 1001))
    assert fault == BODY_TOO_LARGE
    listener = Listener()
    listener.feed(PRIMER)
    listener.held = 1990
    assert listener.feed(usual(b"x" * 11)) == OVERLOADED


def test_a_head_of_great_size_is_not_kept() -> None:
    listener = Listener()
    listener.feed(PRIMER.replace(b"X-Source: lab", b"X-Other: " + b"a" * 4096))
    assert len(listener.taken) == 1
    assert not listener.remembers


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_stream_in_any_reads_is_cut_alike(data: st.DataObject) -> None:
    parts = [PRIMER, usual(b"x"), usual(b""), PRIMER[:-4], PRIMER[3:], b"MSH", b"\r\n"]
    parts += [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
    parts += [LINES + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"]
    stream = b"".join(data.draw(st.lists(st.sampled_from(parts), max_size=8)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    both(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
