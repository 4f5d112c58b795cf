"""What is not one well-framed request is refused, closed, and leaves no trace."""

import random
import re
from typing import Any

import pytest

FINE = b"GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

VECTORS = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "the same host twice": b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "host with a space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "length and chunked": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "length 0 and chunked": POST
    + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "length with a plus": POST + b"Content-Length: +5\r\n\r\nhello",
    "length below 0": POST + b"Content-Length: -5\r\n\r\nhello",
    "length in hex": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "length with a space in it": POST + b"Content-Length: 1 5\r\n\r\nhello",
    "length with a letter": POST + b"Content-Length: 5a\r\n\r\nhello",
    "length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nhellohello",
    "length past 64 bits": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "length of Arabic digits": POST + b"Content-Length: \xd9\xa5\r\n\r\nhello",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding after chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity coding": POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "gzip coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "two codings": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "chunked after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "space before the name": b"POST / HTTP/1.1\r\n Host: a\r\n\r\n",
    "folded header": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded unknown header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "HTTP/1.0 with chunked": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "line feeds alone": b"GET / HTTP/1.1\nHost: a\n\n",
    "one line feed alone": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "carriage returns alone": b"GET / HTTP/1.1\rHost: a\r\r",
    "carriage return in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "space in a name": b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
    "name beyond ASCII": b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n",
    "lower-case version": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.12": b"GET / HTTP/1.12\r\nHost: a\r\n\r\n",
    "space after the version": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no such method": b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
    "control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "chunk size in 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a plus": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk size below 0": CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n",
    "chunk size past 64 bits": CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
    "chunk size ended by a line feed": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "chunk ended by a line feed": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "line feed in a chunk extension": CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "chunks ended by line feeds": CHUNKED + b"5\r\nhello\r\n0\n\n",
    "compressed body": POST + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "unknown expectation": POST + b"Expect: cake\r\nContent-Length: 5\r\n\r\nhello",
    "two content types": POST
    + b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
    "two request ids": b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n\r\n",
    "length among the trailers": CHUNKED + b"0\r\nContent-Length: 99\r\n\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT with a body": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    "upgrade with chunks": POST
    + b"Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "MLLP frame": b"\x0bMSH|^~\\&|A|B\r\x1c\r",
}
"""Each is followed by a request that must never be answered."""


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_a_badly_framed_request_is_refused_and_closed(house: Any, vector: bytes) -> None:
    said = house.say(vector + SMUGGLED)
    assert re.match(rb"HTTP/1\.1 (4\d\d|50[15]) ", said), said
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in said
    assert house.say(FINE).endswith(b"GET /fine 0")


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_a_byte_at_a_time_changes_nothing(house: Any, vector: bytes) -> None:
    said = house.say(*(bytes([octet]) for octet in vector + SMUGGLED))
    assert re.match(rb"HTTP/1\.1 (4\d\d|50[15]) ", said), said
    assert said.count(b"HTTP/1.1 ") == 1


def test_trailers_are_not_believed(house: Any) -> None:
    said = house.say(
        CHUNKED + b"5\r\nhello\r\n0\r\nHost: b\r\nExpect: cake\r\nContent-Type: x\r\n\r\n" + FINE
    )
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert b"POST / 5" in said
    assert said.endswith(b"GET /fine 0")


def test_bytes_after_the_last_request_are_ignored(house: Any) -> None:
    said = house.say(FINE + SMUGGLED + b"\0\0")
    assert said.count(b"HTTP/1.1 ") == 1


def test_an_upgrade_is_ignored_and_the_connection_goes_on(house: Any) -> None:
    hello = b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    said = house.say(
        (b"GET /one HTTP/1.1\r\n" + hello + b"\r\n") * 200
        + (b"POST /two HTTP/1.1\r\n" + hello + b"Content-Length: 5\r\n\r\nhello")
        + FINE
    )
    assert said.count(b"GET /one 0") == 200
    assert b"POST /two 5" in said
    assert said.endswith(b"GET /fine 0")


def test_the_body_of_an_upgrade_is_a_body_and_no_request(house: Any) -> None:
    head = POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    bytewise = (bytes([octet]) for octet in head % len(SMUGGLED) + SMUGGLED + FINE)
    for pieces in ([head % len(SMUGGLED) + SMUGGLED + FINE], bytewise):
        said = house.say(*pieces)
        assert said.count(b"HTTP/1.1 ") == 2
        assert b"POST / %d" % len(SMUGGLED) in said
        assert said.endswith(b"GET /fine 0")


def test_random_bytes_are_refused(house: Any) -> None:
    noise = random.Random(1).randbytes(1 << 20)  # noqa: S311
    for start in range(0, len(noise), 1 << 16):
        house.say(noise[start : start + (1 << 16)], finish=True)
    assert house.say(noise).startswith(b"HTTP/1.1 400 ")
    assert house.say(FINE).endswith(b"GET /fine 0")


def test_random_changes_to_a_request_never_hang_or_crash(house: Any) -> None:
    dice = random.Random(2)  # noqa: S311
    for _ in range(300):
        request = bytearray(CHUNKED + b"5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n" + SMUGGLED)
        for _ in range(dice.randint(1, 4)):
            request[dice.randrange(len(request))] = dice.choice(b"\r\n\0 :;0123456789abcxX\t\xff")
        house.say(bytes(request), finish=True)
    assert house.say(FINE).endswith(b"GET /fine 0")
