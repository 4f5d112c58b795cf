"""No client can make a worker hold more, wait longer or answer out of order."""

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

FINE = b"GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MEGABYTE = 1 << 20


def pour(house: Any, pieces: Iterator[bytes]) -> tuple[int, bytes]:
    """How many bytes the server took before it closed, and what it said."""
    sent, said = 0, b""
    with house.connect() as client:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                client.sendall(piece)
                sent += len(piece)
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(MEGABYTE):
                said += piece
    return sent, said


def is_fine(house: Any) -> bool:
    return bool(house.say(FINE).endswith(b"GET /fine 0"))


def test_a_body_past_the_limit_is_refused_before_it_is_sent(house: Any) -> None:
    said = house.say(POST + b"Content-Length: %d\r\n\r\n" % (65 * MEGABYTE))
    assert said.startswith(b"HTTP/1.1 413 ")


def test_a_65_megabyte_body_costs_no_memory_and_its_sender_gets_the_answer(house: Any) -> None:
    before = house.rss()
    head = POST + b"Content-Length: %d\r\n\r\n" % (65 * MEGABYTE)
    _, said = pour(house, itertools.chain([head], itertools.repeat(bytes(MEGABYTE), 65)))
    assert said.startswith(b"HTTP/1.1 413 ")
    assert house.rss() - before < 8 * MEGABYTE
    assert is_fine(house)


def test_chunks_past_the_limit_are_refused_while_they_come(build: Callable[..., Any]) -> None:
    house = build(body=4 * MEGABYTE)
    before = house.rss()
    chunk = b"%x\r\n%b\r\n" % (MEGABYTE, bytes(MEGABYTE))
    _, said = pour(house, itertools.chain([CHUNKED], itertools.repeat(chunk, 65)))
    assert said.startswith(b"HTTP/1.1 413 ")
    assert house.rss() - before < 16 * MEGABYTE
    assert is_fine(house)


def test_a_body_of_the_very_limit_is_taken(build: Callable[..., Any]) -> None:
    house = build(body=2 * MEGABYTE)
    head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (2 * MEGABYTE)
    assert house.say(head, bytes(2 * MEGABYTE)).endswith(b"POST / 2097152")


def test_bodies_of_all_connections_together_are_bounded(
    build: Callable[..., Any], waits: Callable[..., None]
) -> None:
    house = build(body=MEGABYTE, held=2 * MEGABYTE)
    head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n"
    # Three bytes more than fit: answered in the turn that reads them, they never push out another.
    probe = head % 3 + b"abc"
    with contextlib.ExitStack() as unfinished:
        for _ in range(2):
            client = unfinished.enter_context(house.connect())
            client.sendall(head % MEGABYTE + bytes(MEGABYTE - 1))
        waits(lambda: house.say(probe).startswith(b"HTTP/1.1 503 "))
    waits(lambda: house.say(probe).startswith(b"HTTP/1.1 200 "))


def test_a_header_without_end_is_refused(house: Any) -> None:
    before = house.rss()
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    _, said = pour(house, itertools.chain([start], itertools.repeat(b"a" * 65536, 400)))
    assert said.startswith(b"HTTP/1.1 431 ")
    assert house.rss() - before < 8 * MEGABYTE


def test_too_many_headers_are_refused(house: Any) -> None:
    many = b"".join(b"X-%d: a\r\n" % number for number in range(101))
    assert house.say(b"GET / HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_large_header_in_one_piece_is_refused(house: Any) -> None:
    said = house.say(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 431 ")


def test_a_long_target_is_refused(house: Any) -> None:
    assert house.say(b"GET /" + b"a" * 9000).startswith(b"HTTP/1.1 414 ")


def test_one_byte_chunks_without_end_are_refused(house: Any) -> None:
    _, said = pour(house, itertools.chain([CHUNKED], itertools.repeat(b"1\r\na\r\n" * 10000, 100)))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.endswith(b"chunk_overhead")


def test_a_chunk_extension_without_end_is_refused(house: Any) -> None:
    _, said = pour(house, itertools.chain([CHUNKED, b"5;"], itertools.repeat(b"a" * 65536, 100)))
    assert said.endswith(b"chunk_overhead")


def test_trailers_without_end_are_refused(house: Any) -> None:
    trailers = itertools.repeat(b"T: %b\r\n" % (b"a" * 1000), 10000)
    _, said = pour(house, itertools.chain([CHUNKED + b"0\r\n"], trailers))
    assert said.endswith(b"chunk_overhead")


def test_ordinary_small_chunks_are_taken(house: Any) -> None:
    last = b"0\r\n\r\n" + FINE
    said = house.say(CHUNKED + b"10\r\n0123456789abcdef\r\n" * 50000 + last)
    assert b"POST / 800000" in said


def test_a_slow_header_is_cut_off_and_others_do_not_notice(build: Callable[..., Any]) -> None:
    house = build(head_timeout=0.3)
    with contextlib.ExitStack() as slow_ones:
        clients = [slow_ones.enter_context(house.connect()) for _ in range(50)]
        for octet in b"GET / HTTP/1.1\r\nHos":
            with contextlib.suppress(ConnectionError):
                for client in clients:
                    client.sendall(bytes([octet]))
            assert is_fine(house)
            time.sleep(0.05)
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_is_cut_off(build: Callable[..., Any]) -> None:
    house = build(body_timeout=0.2, rate=1000.0)
    with house.connect() as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                client.sendall(b"x")
                time.sleep(0.025)
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_body_at_a_fair_rate_is_not_cut_off(build: Callable[..., Any]) -> None:
    house = build(body_timeout=0.1, rate=10.0)
    with house.connect() as client:
        client.sendall(POST + b"Connection: close\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(10):
            client.sendall(bytes(100))
            time.sleep(0.05)
        assert client.recv(1000).endswith(b"POST / 1000")


def test_an_idle_connection_is_closed(build: Callable[..., Any]) -> None:
    house = build(idle_timeout=0.2)
    with house.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(1000).endswith(b"GET / 0")
        assert client.recv(1000) == b""


def test_a_client_that_reads_nothing_is_cut_off(
    build: Callable[..., Any], waits: Callable[..., None]
) -> None:
    house = build(write_timeout=0.3)
    before = house.rss()
    with house.connect() as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        waits(lambda: house.board.slab(0).connections == 0)
    assert house.rss() - before < 150 * MEGABYTE
    assert is_fine(house)


def test_a_flood_of_pipelined_requests_is_answered_in_order(house: Any) -> None:
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(5000))
    said = house.say(requests + FINE)
    answers = said.split(b"HTTP/1.1 200 OK")[1:]
    assert [answer.split()[-2] for answer in answers[:-1]] == [b"/%d" % n for n in range(5000)]


def test_answers_that_wait_keep_the_order_of_their_requests(house: Any) -> None:
    paths = [b"/slow/1", b"/2", b"/slow/3", b"/4", b"/5", b"/slow/6"]
    said = house.say(*(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in paths), FINE)
    answers = said.split(b"HTTP/1.1 200 OK")[1:]
    assert [answer.split()[-2] for answer in answers] == [*paths, b"/fine"]


def test_a_refusal_waits_for_the_answers_before_it(house: Any) -> None:
    said = house.say(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n")
    assert said.index(b"GET /slow 0") < said.index(b"HTTP/1.1 400 ")


def test_a_half_closed_client_gets_its_answers(house: Any) -> None:
    for path in (b"/now", b"/slow"):
        request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
        assert house.say(request * 3, finish=True).count(path) == 3
        for _ in range(20):
            assert house.say(request, finish=True).count(path) == 1


def test_many_that_ask_at_once_each_get_their_own_answer(house: Any) -> None:
    request = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(house.connect()) for _ in range(100)]
        for turn in range(5):
            for number, client in enumerate(clients):
                client.sendall(request % (1000 * turn + number))
            for number in range(turn, len(clients), 7):  # some have gone before it is written
                clients[number].close()
                clients[number] = stack.enter_context(house.connect())
                clients[number].sendall(request % (1000 * turn + number))
            for number, client in enumerate(clients):
                assert client.recv(1000).endswith(b"GET /%d 0" % (1000 * turn + number))


def test_a_client_that_leaves_amid_a_request_leaves_nothing_behind(
    house: Any, waits: Callable[..., None]
) -> None:
    for part in (b"GET", POST, POST + b"Content-Length: 10\r\n\r\nhel", CHUNKED + b"5\r\nhe"):
        assert house.say(part, finish=True) == b""
    waits(lambda: house.board.slab(0).connections == 0)


def test_a_client_that_resets_while_it_waits_costs_nobody_an_answer(house: Any) -> None:
    with house.connect() as other, house.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        other.sendall(b"GET /slow/other HTTP/1.1\r\nHost: a\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert other.recv(1000).endswith(b"GET /slow/other 0")


def test_a_client_that_waits_for_100_is_told_to_go_on(house: Any) -> None:
    with house.connect() as client:
        head = POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + head)
        assert client.recv(1000).endswith(b"GET /slow 0HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"hello")
        assert client.recv(1000).endswith(b"POST / 5")


def test_head_is_answered_without_a_body_and_with_its_length(house: Any) -> None:
    said = house.say(b"HEAD /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert said.endswith(b"Content-Length: 1048576\r\n\r\n")


def test_http_1_0_is_closed_unless_it_asks_to_be_kept(house: Any) -> None:
    assert b"Connection: close" in house.say(b"GET / HTTP/1.0\r\n\r\n")
    said = house.say(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + FINE)
    assert b"Connection: keep-alive" in said
    assert said.endswith(b"GET /fine 0")
