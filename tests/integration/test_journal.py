"""Answered once it is in the journal, delivered from there: once, in order, whoever dies."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_dead_letters import ADT, Destination, House


class Store(House):
    """A daemon that answers after the store, if asked to."""

    def send(self, message: str, **headers: str) -> tuple[int, dict[str, str], dict[str, Any]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/workflow",
            message.encode(),
            {"Content-Type": "application/hl7-v2", "X-Ack-When": "after_store", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
                return answer.status, dict(answer.headers), json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, dict(refused.headers), json.loads(refused.read())


@pytest.fixture
def destination() -> Iterator[Destination]:
    made = Destination()
    yield made
    made.stop()


@pytest.fixture
def house(tmp_path: Path, waits: Callable[..., None], destination: Destination) -> Iterator[Store]:
    made = Store(tmp_path, waits, destination.port, 0)
    made.start()
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def controls(destination: Destination) -> list[str]:
    return [json.loads(body)["source_message_id"] for _, body in destination.seen]


def test_it_is_answered_and_delivered_in_order(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    sent = [f"C{number}" for number in range(40)]
    for control in sent:
        status, _, told = house.send(ADT.format(control))
        assert (status, told["kept"], told["success"]) == (202, "journal", True)
    waits(lambda: len(destination.seen) >= len(sent), seconds=30)
    assert controls(destination) == sent
    assert house.send(ADT.format("A"), **{"X-Ack-When": "never"})[0] == 400


def test_the_same_message_is_answered_as_before_and_runs_once(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    _, _, first = house.send(ADT.format("A"))
    status, headers, again = house.send(ADT.format("A"))
    assert (status, headers["Fifhir-Duplicate"]) == (202, "true")
    assert again["events"] == first["events"]
    _, headers, _ = house.send(ADT.format("A").replace("TEAPOT", "KETTLE"))
    assert "Fifhir-Duplicate" not in headers
    waits(lambda: len(destination.seen) >= 2, seconds=30)
    house.send(ADT.format("B"))
    waits(lambda: "B" in controls(destination), seconds=30)
    assert controls(destination) == ["A", "A", "B"]
    assert house.metric("fi_fhir_duplicates_total") == 1


def test_what_cannot_be_delivered_is_a_dead_letter(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    destination.status = 500
    house.send(ADT.format("A"))
    waits(lambda: house.metric("workflow_dlq_size") == 1, seconds=30)


def test_a_batch_is_recorded_in_its_order_and_repeats_are_told(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    sent = [f"B{number}" for number in range(450)]  # several commits
    batch = "".join(map(ADT.format, sent))
    status, headers, told = house.send(batch)
    assert (status, told["kept"], len(told["events"])) == (202, "journal", len(sent))
    assert "Fifhir-Duplicate" not in headers
    status, headers, again = house.send(batch)
    assert (status, headers["Fifhir-Duplicate"]) == (202, "true")
    assert again["events"] == told["events"]
    status, _, refused = house.send(batch + "MSH|broken\rPID|1\r")
    assert (status, [each["index"] for each in refused["errors"]]) == (422, [len(sent)])
    waits(lambda: len(destination.seen) >= len(sent), seconds=50)
    assert controls(destination) == sent
    assert house.metric("fi_fhir_duplicates_total") == len(sent)


def test_a_dead_letter_may_hold_up_its_sender_until_it_is_replayed(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    house.stop()
    with Path(house.environ["FI_FHIR_WORKFLOW_CONFIG_PATH"]).open("a") as file:
        file.write("on_dlq: block\n")
    house.start()
    destination.status = 500
    for control in ("A", "B", "C"):
        assert house.send(ADT.format(control))[0] == 202
    waits(lambda: house.metric("workflow_dlq_size") == 1, seconds=30)
    destination.status = 200
    house.send(ADT.format("D").replace("|B|", "|OTHER|", 1))
    waits(lambda: "D" in controls(destination), seconds=30)
    assert controls(destination) == ["A", "D"]
    shown = json.loads(house.cli("dlq", "list").stdout)
    assert shown["blocks"] == "unknown|A|B"
    assert house.cli("dlq", "replay").returncode == 0
    waits(lambda: len(destination.seen) == 5, seconds=30)
    assert controls(destination) == ["A", "D", "A", "B", "C"]


def test_nothing_passes_a_message_whose_dead_letter_is_not_written(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    """The queue holds nothing more: what fails stays in the journal, and in its place."""
    house.stop()
    house.environ |= {"FI_FHIR_WORKFLOW_DLQ_MAX_SIZE": "1"}
    house.start()
    destination.status = 500
    house.send(ADT.format("X").replace("|B|", "|OTHER|", 1))
    waits(lambda: house.metric("workflow_dlq_size") == 1, seconds=30)
    for control in ("A", "B", "C"):
        house.send(ADT.format(control))
    waits(lambda: controls(destination).count("A") > 1, seconds=50)
    assert set(controls(destination)) == {"X", "A"}
    destination.status = 200
    waits(lambda: "C" in controls(destination), seconds=50)
    first = list(dict.fromkeys(controls(destination)))
    assert first == ["X", "A", "B", "C"]


def test_what_was_answered_survives_the_death_of_all(
    house: Store, destination: Destination, waits: Callable[..., None]
) -> None:
    destination.open.clear()
    sent = [f"K{number}" for number in range(5)]
    for control in sent:
        assert house.send(ADT.format(control))[0] == 202
    house.process.send_signal(signal.SIGKILL)
    house.process.wait()
    destination.open.set()
    house.start()
    waits(lambda: set(controls(destination)) == set(sent), seconds=55)
    assert house.metric("workflow_dlq_size") == 0


def test_an_acknowledgment_is_repeated_with_its_control_id(
    tmp_path: Path, waits: Callable[..., None], destination: Destination
) -> None:
    made = Store(tmp_path, waits, destination.port, 0)
    made.environ |= {"FI_FHIR_MLLP_ENABLED": "true", "FI_FHIR_MLLP_PORT": "0"}
    made.start()
    try:
        (ready,) = (line for line in made.log() if line["message"] == "ready")
        port = int(re.findall(r":(\d+)", json.dumps(ready["mllp"]))[-1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
            answers = []
            for _ in range(2):
                peer.sendall(b"\x0b" + ADT.format("M").encode() + b"\x1c\r")
                answers.append(_answer(peer))
        assert answers[0] == answers[1]
        assert b"MSA|AA|M" in answers[0]
        waits(lambda: controls(destination) == ["M"], seconds=30)
        made.stop()
        assert controls(destination) == ["M"]
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()


def _answer(peer: socket.socket) -> bytes:
    told = b""
    while not told.endswith(b"\x1c\r"):
        more = peer.recv(65536)
        assert more
        told += more
    return told
