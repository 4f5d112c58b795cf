"""The whole corpus through the command and through a running daemon."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fifhir.batch import split
from tests.corpus.conftest import Case

COMMAND = [sys.executable, "-m", "fifhir"]


def parse(corpus: Path, tokenizer: str) -> tuple[list[dict[str, Any]], list[str], int]:
    """Events, complaints and the status of `fi-fhir parse` over every file."""
    files = sorted(map(str, [*corpus.glob("messages/*/*.hl7"), *corpus.glob("derived/*.hl7")]))
    done = subprocess.run(
        [*COMMAND, "parse", *files],
        capture_output=True,
        timeout=300,
        check=False,
        env=os.environ | {"FIFHIR_TOKENIZER": tokenizer},
    )
    complaints = [line for line in done.stderr.decode().splitlines() if ": message " in line]
    return [json.loads(line) for line in done.stdout.splitlines()], complaints, done.returncode


@pytest.fixture(scope="module")
def compiled(corpus: Path) -> tuple[list[dict[str, Any]], list[str], int]:
    return parse(corpus, "compiled")


def test_the_command_tells_of_every_message_once(
    cases: list[Case], compiled: tuple[list[dict[str, Any]], list[str], int]
) -> None:
    events, complaints, status = compiled
    assert status == 1
    assert len(events) + len(complaints) == sum(len(split(case.data)) for case in cases)
    assert all(event["type"] and event["id"] and event["timestamp"] for event in events)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_says_the_same_over_both_tokenizers(
    corpus: Path, compiled: tuple[list[dict[str, Any]], list[str], int]
) -> None:
    events, complaints, status = parse(corpus, "python")
    assert (complaints, status) == compiled[1:]
    received = {event.pop("received_at") for event in events}
    assert received
    for event, told in zip(events, compiled[0], strict=True):
        ours = {key: value for key, value in told.items() if key != "received_at"}
        if "EVENT_TIME_FALLBACK" in str(ours.get("parse_warnings")):
            event.pop("timestamp")
            ours.pop("timestamp")
        assert event == ours


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    """The address of a daemon with two workers, which must drain and end with 0 afterwards."""
    words = ["serve", "--port", "0", "--metrics-port", "0", "--workers", "2"]
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"XDG_DATA_HOME": os.environ["XDG_DATA_HOME"]},
    )
    assert process.stderr
    greeting = process.stderr.readline()
    found = re.search(r"http://(127\.0\.0\.1:\d+)", greeting)
    try:
        assert found, greeting
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_daemon_answers_for_every_file(cases: list[Case], daemon: str) -> None:
    statuses: dict[int, int] = {}
    with closing(http.client.HTTPConnection(daemon, timeout=20)) as client:
        for case in cases:
            status, told = post(client, case.data)
            statuses[status] = statuses.get(status, 0) + 1
            assert status in (200, 400, 422), (case.name, status)
            if status == 200:
                answered = len(told["events"]) + len(told.get("errors", ()))
                assert answered == len(split(case.data)), case.name
            else:
                assert told["error"], case.name
    assert statuses[200] > 1000


def post(client: http.client.HTTPConnection, body: bytes) -> tuple[int, dict[str, Any]]:
    client.request("POST", "/api/v1/parse", body, {"Content-Type": "application/hl7-v2"})
    answer = client.getresponse()
    return answer.status, json.loads(answer.read())
