"""A worker that dies at the worst moment: what its sender and the destination see of it."""

import json
import re
import socket
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_dead_letters import ADT, Destination
from tests.process.conftest import Running

PROGRAM = Path(__file__).parent / "accounting" / "failpoints.py"
WORKFLOW = """\
name: w
routes:
  - name: hook
    actions: [{{type: webhook, url: "http://127.0.0.1:{port}/", retry_max: 0}}]
"""


class House:
    """One worker that fails at a point, and what was answered."""

    def __init__(self, daemon: Running) -> None:
        self.daemon = daemon

    def send(self, message: str, when: str) -> tuple[int, dict[str, Any], bool]:
        """The status, the body and whether it was told as a repeat; 0: no answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.daemon.port}/api/v1/workflow",
            message.encode(),
            {"Content-Type": "application/hl7-v2", "X-Ack-When": when},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
                told = json.loads(answer.read())
                return answer.status, told, "Fifhir-Duplicate" in answer.headers
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read()), False
        except OSError:
            return 0, {}, False

    def until_promised(self, message: str, when: str) -> tuple[dict[str, Any], bool]:
        told: list[tuple[dict[str, Any], bool]] = []

        def promised() -> bool:
            status, body, repeated = self.send(message, when)
            if status in {200, 202}:
                told.append((body, repeated))
            return bool(told)

        self.daemon.until(promised)
        return told[0]


@pytest.fixture
def destination() -> Iterator[Destination]:
    made = Destination()
    yield made
    made.stop()


@pytest.fixture
def house(
    tmp_path: Path, launch: Callable[..., Running], destination: Destination
) -> Callable[..., House]:
    """A daemon that fails at a point: `at` is its name, how, and how often."""

    def make(at: str) -> House:
        (tmp_path / "w.yaml").write_text(WORKFLOW.format(port=destination.port))
        words = ("serve", "--port", "0", "--metrics-port", "0", "--workers", "1")
        daemon = launch(
            str(PROGRAM),
            *(*words, "--workflow", str(tmp_path / "w.yaml")),
            FI_FHIR_DATA_DIR=str(tmp_path / "data"),
            FI_FHIR_MLLP_ENABLED="true",
            FI_FHIR_MLLP_PORT="0",
            FAILPOINTS_AT=at,
            FAILPOINTS_LOG=str(tmp_path / "fired"),
            FAILPOINTS_LEASE="1",
        )
        return House(daemon.until_ready())

    return make


def keys(destination: Destination) -> Counter[str]:
    """How often each key arrived."""
    return Counter(key for key, _ in destination.seen)


def test_killed_between_commit_and_answer_it_answers_the_repeat_and_delivers_once(
    house: Callable[..., House], destination: Destination
) -> None:
    made = house("after_commit kill 1")
    assert made.send(ADT.format("A"), "after_store")[0] == 0
    told, repeated = made.until_promised(ADT.format("A"), "after_store")
    assert repeated
    assert told["success"]
    made.until_promised(ADT.format("B"), "after_store")
    made.daemon.until(lambda: len(destination.seen) >= 2)
    assert set(keys(destination).values()) == {1}


def test_killed_before_the_commit_it_has_promised_and_done_nothing(
    house: Callable[..., House], destination: Destination
) -> None:
    made = house("before_commit kill 1")
    assert made.send(ADT.format("A"), "after_store")[0] == 0
    assert not destination.seen
    _, repeated = made.until_promised(ADT.format("A"), "after_store")
    assert not repeated
    made.daemon.until(lambda: len(destination.seen) >= 1)


@pytest.mark.parametrize("point", ["after_send", "before_settle"])
def test_killed_between_a_delivery_and_its_mark_it_delivers_again_under_the_same_key(
    house: Callable[..., House], destination: Destination, point: str
) -> None:
    made = house(f"{point} kill 1")
    assert made.send(ADT.format("A"), "after_store")[0] in {0, 202}
    made.until_promised(ADT.format("A"), "after_store")
    made.daemon.until(lambda: len(destination.seen) >= 2)
    assert list(keys(destination).values()) == [2]


def test_killed_between_a_delivery_and_the_answer_the_repeat_has_the_same_key(
    house: Callable[..., House], destination: Destination
) -> None:
    made = house("before_answer kill 1")
    assert made.send(ADT.format("A"), "after_actions")[0] == 0
    made.until_promised(ADT.format("A"), "after_actions")
    assert list(keys(destination).values()) == [2]


def test_killed_once_a_letter_is_written_the_repeat_is_the_same_letter(
    house: Callable[..., House], destination: Destination
) -> None:
    made = house("after_bury kill 1")
    destination.status = 500
    assert made.send(ADT.format("A"), "after_actions")[0] == 0
    told, _ = made.until_promised(ADT.format("A"), "after_actions")
    assert told["kept"] == "dlq"
    made.daemon.until(lambda: made.daemon.metric("workflow_dlq_size") == 1)


def test_a_message_of_which_workers_die_is_given_up_and_the_next_goes_on(
    house: Callable[..., House], destination: Destination
) -> None:
    made = house("before_send kill 5")
    made.until_promised(ADT.format("A"), "after_store")
    made.until_promised(ADT.format("B"), "after_store")
    made.daemon.until_logged("message given up")
    made.daemon.until(lambda: len(destination.seen) >= 1)
    [(_, body)] = destination.seen
    assert json.loads(body)["source_message_id"] == "B"
    made.daemon.until(lambda: made.daemon.metric("workflow_dlq_size") == 1)


def test_an_acknowledgment_that_was_not_sent_is_sent_to_the_repeat(
    house: Callable[..., House], destination: Destination
) -> None:
    made = house("before_acknowledgment kill 1")
    port = int(re.findall(r":(\d+)", json.dumps(made.daemon.entries("ready")[0]["mllp"]))[-1])
    answers = []

    def acknowledged() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
                peer.sendall(b"\x0b" + ADT.format("M").encode() + b"\x1c\r")
                answers.append(peer.recv(65536))
        except OSError:
            answers.append(b"")
        return bool(answers[-1])

    made.daemon.until(acknowledged)
    assert answers[0] == b""
    assert b"MSA|AA|M" in answers[-1]
    made.daemon.until(lambda: len(destination.seen) >= 1)
    assert list(keys(destination).values()) == [1]
