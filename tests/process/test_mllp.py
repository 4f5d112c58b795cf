"""MLLP on the real daemon: real sockets, and the worst that senders do on them."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = (
    b"MSH|^~\\&|ADT1|WEST|FIFHIR|HERE|20260302070000||ADT^A01^ADT_A01|%b|P|2.5.1\r"
    b"PID|1||9001^^^WEST^MR||TEAPOT^HAZEL||19800101|F\r"
    b"PV1|1|I|WARD1^101^A\r"
)
NO_ANSWER = b""


def admit(control_id: object, **requests: bytes) -> bytes:
    """A message that is fine; `msh15` and `msh16` ask for acknowledgments."""
    made = ADMIT % str(control_id).encode()
    asked = b"|P|2.5.1|||" + requests.get("msh15", b"") + b"|" + requests.get("msh16", b"")
    return made.replace(b"|P|2.5.1", asked.rstrip(b"|"), 1)


def frame(message: bytes) -> bytes:
    return b"\x0b" + message + b"\x1c\r"


class Peer:
    """A sender that reads what it is answered, frame by frame."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.rest = b""

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> "Peer":
        self.sock.sendall(data)
        return self

    def answer(self) -> bytes:
        """The next acknowledgment; nothing once the connection has ended."""
        while b"\x1c\r" not in self.rest:
            chunk = self.sock.recv(65536)
            if not chunk:
                assert not self.rest
                return NO_ANSWER
            self.rest += chunk
        answer, _, self.rest = self.rest.partition(b"\x1c\r")
        assert answer.startswith(b"\x0bMSH")
        return answer[1:]

    def msa(self) -> bytes:
        return next(
            (line for line in self.answer().split(b"\r") if line.startswith(b"MSA")), NO_ANSWER
        )


@pytest.fixture
def mllp(serve: Serve) -> Callable[..., tuple["Running", Callable[[], Peer]]]:
    """A daemon that takes MLLP, and what connects to it."""

    def start(*options: str, **settings: str) -> tuple["Running", Callable[[], Peer]]:
        environ = {f"FI_FHIR_MLLP_{name.upper()}": value for name, value in settings.items()}
        options = options or ("--workers", "1")
        daemon = serve(
            *options, **{"FI_FHIR_MLLP_ENABLED": "true", "FI_FHIR_MLLP_PORT": "0"} | environ
        )
        port = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
        return daemon, lambda: Peer(port)

    return start


Mllp = Callable[..., tuple["Running", Callable[[], Peer]]]


def outcomes(daemon: "Running", outcome: str) -> float:
    return daemon.metric(f'fi_fhir_mllp_messages_total{{outcome="{outcome}"}}')


def refused(daemon: "Running", reason: str) -> float:
    return daemon.metric(f'fi_fhir_mllp_frames_refused_total{{reason="{reason}"}}')


def test_without_the_setting_nothing_listens_for_mllp(serve: Serve) -> None:
    daemon = serve("--workers", "1")
    assert "mllp" not in daemon.entries("ready")[0]


def test_frames_are_answered_in_order_however_they_arrive(mllp: Mllp) -> None:
    daemon, connect = mllp()
    with closing(connect()) as peer:
        assert peer.send(frame(admit(1))).msa() == b"MSA|AA|1"
        peer.send(frame(admit(2)) + frame(b"WRONG") + frame(admit(3)))
        assert [peer.msa() for _ in range(3)] == [
            b"MSA|AA|2",
            b"MSA|AE||message does not begin with an MSH segment",
            b"MSA|AA|3",
        ]
        for octet in frame(admit(4)):
            peer.send(bytes([octet]))
        assert peer.msa() == b"MSA|AA|4"
        peer.send(b"\0\0" + frame(admit(5)) + b"\0\r\n" + frame(admit(6)))
        assert [peer.msa(), peer.msa()] == [b"MSA|AA|5", b"MSA|AA|6"]
    assert (outcomes(daemon, "accepted"), outcomes(daemon, "error")) == (6, 1)
    label = 'workflow_events_processed_total{event_type="patient_admit",source="mllp"'
    assert daemon.metric(label) == 6
    assert daemon.metric("fi_fhir_mllp_dropped_bytes_total") == 0


def test_a_thousand_pipelined_messages_are_answered_in_their_order(mllp: Mllp) -> None:
    _, connect = mllp()
    with closing(connect()) as peer:
        stream = b"".join(frame(admit(number)) for number in range(1000))
        sender = threading.Thread(target=peer.send, args=(stream,))
        sender.start()
        assert [peer.msa() for _ in range(1000)] == [b"MSA|AA|%d" % n for n in range(1000)]
        sender.join()


def test_a_peer_that_takes_no_answers_is_not_read_on(mllp: Mllp) -> None:
    daemon, connect = mllp()
    stream = b"".join(frame(admit(number)) for number in range(1000))
    with closing(connect()) as peer:
        peer.sock.setblocking(False)
        sent = 0
        stuck = threading.Event()

        def push() -> None:
            nonlocal sent
            while not stuck.is_set():
                try:
                    sent += peer.sock.send(stream[sent % len(stream) :])
                except BlockingIOError:
                    stuck.wait(0.3)
                    before = outcomes(daemon, "accepted")
                    stuck.wait(0.3)
                    if outcomes(daemon, "accepted") == before:
                        stuck.set()

        push()
        taken = outcomes(daemon, "accepted")
        peer.sock.settimeout(20)
        assert [peer.msa() for _ in range(int(taken))] == [
            b"MSA|AA|%d" % (number % 1000) for number in range(int(taken))
        ]


def test_a_peer_that_has_shut_down_its_side_gets_its_answers(mllp: Mllp) -> None:
    _, connect = mllp()
    with closing(connect()) as peer:
        peer.send(frame(admit(1)) + frame(admit(2)))
        peer.sock.shutdown(socket.SHUT_WR)
        assert [peer.msa() for _ in range(3)] == [b"MSA|AA|1", b"MSA|AA|2", NO_ANSWER]


@pytest.mark.parametrize(
    ("half", "reason"), [(b"\x0bMSH|^~", "unfinished"), (frame(admit(2))[:-1], "no_cr")]
)
def test_half_a_frame_at_the_end_is_not_acknowledged(mllp: Mllp, half: bytes, reason: str) -> None:
    daemon, connect = mllp()
    with closing(connect()) as peer:
        peer.send(frame(admit(1)) + half)
        peer.sock.shutdown(socket.SHUT_WR)
        assert [peer.msa(), peer.msa()] == [b"MSA|AA|1", NO_ANSWER]
    daemon.until(lambda: refused(daemon, reason) == 1)
    assert outcomes(daemon, "accepted") == 1
    assert daemon.metric("fi_fhir_mllp_dropped_bytes_total") == len(half)


@pytest.mark.parametrize(
    ("stuck", "reason"),
    [
        (b"\x0bMSH|^~", "frame_timeout"),
        (frame(admit(2))[:-1], "no_cr"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "garbage"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "garbage"),
    ],
)
def test_a_frame_without_end_is_closed_without_an_answer(
    mllp: Mllp, stuck: bytes, reason: str
) -> None:
    daemon, connect = mllp(frame_timeout="300ms")
    with closing(connect()) as peer:
        peer.send(frame(admit(1)) + stuck)
        assert [peer.msa(), peer.msa()] == [b"MSA|AA|1", NO_ANSWER]
    assert refused(daemon, reason) == 1
    assert daemon.entries("mllp connection closed")[0]["reason"] == reason


def test_a_frame_over_the_limit_is_closed_without_an_answer(mllp: Mllp) -> None:
    daemon, connect = mllp(max_frame_bytes="2000")
    with closing(connect()) as peer:
        peer.send(frame(admit(1)) + b"\x0b" + b"x" * 200_000)
        assert [peer.msa(), peer.msa()] == [b"MSA|AA|1", NO_ANSWER]
    assert refused(daemon, "too_large") == 1


def test_more_than_a_worker_may_hold_is_closed_without_an_answer(mllp: Mllp) -> None:
    daemon, connect = mllp(max_frame_bytes="100000", max_in_flight_bytes="100000")
    with closing(connect()) as first, closing(connect()) as second:
        first.send(b"\x0b" + b"x" * 90_000)
        second.send(b"\x0b" + b"x" * 90_000)
        daemon.until(lambda: refused(daemon, "overload") == 1)
        with closing(connect()) as third:  # what the refused one held is free again
            assert third.send(frame(admit(1))).msa() == b"MSA|AA|1"


def test_a_silent_connection_is_closed(mllp: Mllp) -> None:
    daemon, connect = mllp(idle_timeout="1s")
    with closing(connect()) as peer:
        assert peer.send(frame(admit(1))).msa() == b"MSA|AA|1"
        assert peer.answer() == NO_ANSWER
    daemon.until(lambda: daemon.metric("fi_fhir_mllp_connections") == 0)


def test_reading_begins_again_after_garbage_and_after_a_restart(mllp: Mllp) -> None:
    daemon, connect = mllp()
    with closing(connect()) as peer:
        assert peer.send(b"foobar\x1c\r" + frame(admit(1))).msa() == b"MSA|AA|1"
        assert peer.send(b"\x0bMSH|half" + frame(admit(2))).msa() == b"MSA|AA|2"
    assert refused(daemon, "restarted") == 1
    assert daemon.metric("fi_fhir_mllp_dropped_bytes_total") == 7 + 9


def test_two_messages_in_one_frame_are_refused_and_none_runs(mllp: Mllp) -> None:
    daemon, connect = mllp()
    with closing(connect()) as peer:
        msa = peer.send(frame(admit(1) + admit(2))).msa()
        assert msa == b"MSA|AE|1|a frame holds one message, and this one holds more"
        assert peer.send(frame(b"BHS|^~\\&|A\r" + admit(3) + b"BTS|1\r")).msa().startswith(b"MSA|A")
    assert daemon.metric("workflow_events_processed_total") <= 1


@pytest.mark.parametrize(
    ("accept", "application", "answers"),
    [
        (b"", b"", [b"AA"]),
        (b"AL", b"", [b"CA"]),
        (b"AL", b"AL", [b"CA", b"AA"]),
        (b"NE", b"AL", [b"AA"]),
        (b"NE", b"NE", []),
        (b"ER", b"ER", []),
        (b"SU", b"NE", [b"CA"]),
    ],
)
def test_msh_15_and_16_say_what_is_answered(
    mllp: Mllp, accept: bytes, application: bytes, answers: list[bytes]
) -> None:
    _, connect = mllp()
    with closing(connect()) as peer:
        peer.send(frame(admit(1, msh15=accept, msh16=application)) + frame(admit(2)))
        wanted = [b"MSA|%b|1" % code for code in answers] + [b"MSA|AA|2"]
        assert [peer.msa() for _ in wanted] == wanted


def test_an_acknowledgment_is_taken_and_not_acknowledged(mllp: Mllp) -> None:
    daemon, connect = mllp()
    ack = admit(1, msh15=b"AL", msh16=b"AL").replace(b"ADT^A01^ADT_A01", b"ACK^A01^ACK")
    with closing(connect()) as peer:
        peer.send(frame(ack + b"MSA|AA|7\r") + frame(admit(2)))
        assert peer.msa() == b"MSA|AA|2"
    assert outcomes(daemon, "accepted") == 2


def test_the_settings_of_the_listener_shape_its_answers(mllp: Mllp) -> None:
    daemon, connect = mllp(
        ack="enhanced", application="OURS", facility="HERE", error_segment="false", source="ward"
    )
    with closing(connect()) as peer:
        answer = peer.send(frame(admit(1))).answer()
        assert answer.startswith(b"MSH|^~\\&|OURS|HERE|ADT1|WEST|")
        assert answer.endswith(b"MSA|CA|1\r")
        assert b"ERR" not in peer.send(frame(admit(""))).answer()
    assert daemon.metric('workflow_events_processed_total{event_type="patient_admit",source="ward"')


def test_connections_are_spread_over_the_workers(mllp: Mllp) -> None:
    daemon, connect = mllp("--workers", "2")
    peers = [connect() for _ in range(16)]
    assert [peer.send(frame(admit(1))).msa() for peer in peers] == [b"MSA|AA|1"] * 16
    assert daemon.metric("fi_fhir_mllp_connections") == 16
    victim = daemon.pids()[0]
    os.kill(victim, signal.SIGKILL)
    daemon.until(lambda: 4 <= daemon.metric("fi_fhir_mllp_connections") <= 12)
    for peer in peers:
        peer.close()


def test_past_the_cap_a_connection_is_closed(mllp: Mllp) -> None:
    daemon, connect = mllp(max_connections="2")
    held = [connect(), connect()]
    assert [peer.send(frame(admit(1))).msa() for peer in held] == [b"MSA|AA|1"] * 2
    with closing(connect()) as third:
        assert third.answer() == NO_ANSWER
    held.pop().close()
    daemon.until(lambda: daemon.metric("fi_fhir_mllp_connections") == 1)
    with closing(connect()) as fourth:
        assert fourth.send(frame(admit(2))).msa() == b"MSA|AA|2"
    held.pop().close()


def test_a_drain_answers_the_frame_that_has_begun_and_closes(mllp: Mllp) -> None:
    daemon, connect = mllp()
    begun, idle = connect(), connect()
    half = len(admit(1)) // 2
    assert idle.send(frame(admit(0))).msa() == b"MSA|AA|0"
    begun.send(frame(admit(1))[:half])
    daemon.until(lambda: daemon.metric("fi_fhir_mllp_connections") == 2)
    daemon.send(signal.SIGTERM)
    assert idle.answer() == NO_ANSWER
    begun.send(frame(admit(1))[half:] + frame(admit(2)))
    assert [begun.msa(), begun.msa()] == [b"MSA|AA|1", NO_ANSWER]
    idle.close()
    begun.close()
    assert daemon.ended() == 0
    assert outcomes_logged(daemon) == 2


def outcomes_logged(daemon: "Running") -> int:
    return len(daemon.entries("Event processed"))


def test_frames_sent_before_a_drain_are_answered(mllp: Mllp) -> None:
    daemon, connect = mllp()
    peers = [connect() for _ in range(20)]
    assert [peer.send(frame(admit(0))).msa() for peer in peers] == [b"MSA|AA|0"] * 20
    (worker,) = daemon.pids()
    os.kill(worker, signal.SIGSTOP)
    for peer in peers:
        peer.send(frame(admit(1)))
    os.kill(worker, signal.SIGTERM)
    os.kill(worker, signal.SIGCONT)
    assert [peer.msa() for peer in peers] == [b"MSA|AA|1"] * 20
    assert [peer.answer() for peer in peers] == [NO_ANSWER] * 20
    for peer in peers:
        peer.close()


def test_a_drain_ends_in_time_although_a_frame_never_does(mllp: Mllp, serve: Serve) -> None:
    environ = {"FI_FHIR_SERVER_SHUTDOWN_TIMEOUT": "300ms"}
    daemon = serve("--workers", "1", FI_FHIR_MLLP_ENABLED="true", FI_FHIR_MLLP_PORT="0", **environ)
    port = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
    with closing(Peer(port)) as peer:
        peer.send(b"\x0bMSH|^~")
        daemon.until(lambda: daemon.metric("fi_fhir_mllp_connections") == 1)
        daemon.send(signal.SIGTERM)
        assert daemon.ended() == 0


def test_a_message_is_carried_out_although_its_sender_has_gone(mllp: Mllp) -> None:
    daemon, connect = mllp()
    with closing(connect()) as peer:
        peer.send(frame(admit(1)))
    daemon.until(lambda: outcomes(daemon, "accepted") == 1)


def test_a_reload_serves_on_with_the_new_workflow(mllp: Mllp, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text("name: one\nroutes: [{name: first, actions: [{type: log}]}]\n")
    daemon, connect = mllp("--workers", "1", "--workflow", str(workflow))
    (old,) = daemon.pids()
    workflow.write_text("name: two\nroutes: [{name: second, actions: [{type: log}]}]\n")
    daemon.send(signal.SIGHUP)
    daemon.until_logged("reloaded")
    daemon.until(lambda: not daemon.alive(old))
    with closing(connect()) as peer:
        assert peer.send(frame(admit(1))).msa() == b"MSA|AA|1"
    daemon.until_logged("Event processed")
    assert daemon.entries("Event processed")[0]["route"] == "second"


def test_no_text_of_an_answer_or_the_log_holds_what_the_sender_wrote(mllp: Mllp) -> None:
    daemon, connect = mllp()
    secret = b"MSH|^~\\&|ADT1|WEST|FIFHIR|HERE|2026||ADT^A01|9|P|2.5.1\rSECRET|SECRET\r"
    with closing(connect()) as peer:
        peer.send(frame(secret) + frame(b"SECRET") + frame(secret.replace(b"ADT^A01", b"")))
        assert b"SECRET" not in b"".join(peer.answer() for _ in range(3))
    assert "SECRET" not in daemon.log.read_text()


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
def test_mllp_send_of_python_hl7_is_acknowledged(mllp: Mllp, tmp_path: Path, ending: bytes) -> None:
    _, connect = mllp()
    with closing(connect()) as peer:
        host, port = peer.sock.getpeername()
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(admit(number) for number in range(3)).replace(b"\r", ending))
    sent = subprocess.run(
        [
            *(sys.executable, "-c", "from hl7.client import mllp_send; mllp_send()"),
            *("--loose", "--file", str(file), "--port", str(port), host),
        ],
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert re.findall(rb"MSA\|AA\|(\d)", sent.stdout) == [b"0", b"1", b"2"]
