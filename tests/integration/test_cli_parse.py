"""`fi-fhir parse` as a user runs it: a process, files, pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MSH = r"MSH|^~\&|ADT|NORTH|FIFHIR|FIFHIR|20260302080000||{}|{}|P|2.5.1"
PID = "PID|1||M1^^^NORTH^MR||TEAPOT^HAZEL"


def message(kind: str = "ADT^A01", control: str = "C1", end: str = "\r") -> bytes:
    return end.join((MSH.format(kind, control), PID, "")).encode()


def parse(*words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fifhir", "parse", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=30)


def events(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_stdin_becomes_one_event_on_one_line() -> None:
    done = parse("--source", "north", given=message())
    (event,) = events(done)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (event["type"], event["source"]) == ("patient_admit", "north")
    assert event["patient"]["family_name"] == "TEAPOT"


def test_one_message_may_be_indented() -> None:
    done = parse("--format", "hl7v2", "--pretty", given=message())
    assert done.stdout.startswith(b'{\n  "type": "patient_admit",\n')
    assert done.stdout.endswith(b"}\n")


def test_several_messages_stay_one_a_line_even_if_pretty() -> None:
    done = parse("-p", "-", given=message(control="C1") + message("ADT^A03", "C2"))
    assert [event["type"] for event in events(done)] == ["patient_admit", "patient_discharge"]


def test_a_batch_file_gives_its_messages(root: Path) -> None:
    done = parse(root / "examples" / "batch.hl7")
    assert [event["type"] for event in events(done)] == ["patient_transfer", "patient_discharge"]
    assert done.returncode == 0


def test_many_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(message(control=name))
    done = parse(tmp_path / "b", tmp_path / "a")
    assert [event["source_message_id"] for event in events(done)] == ["b", "a"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_other_systems_are_read(end: str) -> None:
    done = parse(given=message(control="C1", end=end) + message(control="C2", end=end))
    assert [event["source_message_id"] for event in events(done)] == ["C1", "C2"]


def test_a_broken_message_is_told_and_the_rest_come_out(tmp_path: Path) -> None:
    file = tmp_path / "in.hl7"
    file.write_bytes(message(control="C1") + b"MSH|^~\r" + message(control="C3"))
    done = parse(file)
    assert done.returncode == 1
    assert [event["source_message_id"] for event in events(done)] == ["C1", "C3"]
    told, summary = done.stderr.decode().splitlines()
    at = len(message())
    assert told.startswith(f"{file}: message 2 (byte {at}): MSH")
    assert summary == "1 of 3 messages could not be read"


@pytest.mark.parametrize(
    ("given", "told"),
    [(b"", "no message in it"), (b"\r\n\n", "no message in it"), (b"NOT|HL7\r", "MSH")],
)
def test_what_is_no_message_is_told(given: bytes, told: str) -> None:
    done = parse(given=given)
    assert (done.returncode, done.stdout) == (1, b"")
    assert told in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_what_a_sender_wrote_is_in_no_error() -> None:
    done = parse(given=b"SECRET|TEAPOT^HAZEL\rMSH|SECRET\r")
    assert done.returncode == 1
    assert b"SECRET" not in done.stderr
    assert b"TEAPOT" not in done.stderr


def test_a_missing_file_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(message())
    done = parse(tmp_path / "gone", tmp_path, tmp_path / "a")
    assert done.returncode == 1
    assert len(events(done)) == 1
    assert done.stderr.decode().splitlines() == [
        f"{tmp_path / 'gone'}: no such file or directory",
        f"{tmp_path}: is a directory",
    ]


def test_another_format_is_wrong_usage() -> None:
    done = parse("--format", "csv", given=message())
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"only hl7v2" in done.stderr


def test_warnings_are_told_when_asked_for() -> None:
    odd = message() + b"PID|2\r"  # a second patient where one is expected
    odd = odd.replace(b"20260302080000", b"2026-03-02")
    quiet, loud = parse(given=odd), parse("--warnings", given=odd)
    assert quiet.stderr == b""
    assert quiet.returncode == loud.returncode == 0
    (event,) = events(loud)
    first, *rest = loud.stderr.decode().splitlines()
    assert first == f"Warnings ({len(event['parse_warnings'])}):"
    for line, warning in zip(rest, event["parse_warnings"], strict=True):
        assert line.startswith(f"  [{warning['phase']}] {warning['code']}: {warning['message']}")


def test_events_come_out_before_the_input_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fifhir", "parse"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(message(control="C1") + message(control="C2"))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["source_message_id"] == "C1"
        process.stdin.close()
        assert json.loads(process.stdout.readline())["source_message_id"] == "C2"
        assert process.wait(10) == 0


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    file = tmp_path / "many.hl7"
    file.write_bytes(message() * 20_000)
    with subprocess.Popen(
        [sys.executable, "-m", "fifhir", "parse", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        file = tmp_path / "in.hl7"
        file.write_bytes(message() * count)
        command = [sys.executable, "-m", "fifhir", "parse", str(file)]
        with open(os.devnull, "wb") as nowhere:
            process = subprocess.Popen(command, stdout=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss

    assert peak(150_000) < peak(20_000) + 4 * 1024
