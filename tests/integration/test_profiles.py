"""Source profiles in a running daemon: chosen by rule or by name, read again on HUP."""

import json
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.integration.test_cli_serve import serving
from tests.waiting import until

MESSAGE = "MSH|^~\\&|EPIC|HERE|||20260701||ADT^A08|1|P|2.5\rPID|1||M1^^^A^MR||TEAPOT^HAZEL\r"


def parse(url: str, **body: Any) -> Any:
    told = {"format": "hl7v2", "data": MESSAGE, **body}
    request = urllib.request.Request(  # noqa: S310 - http, ourselves
        f"{url}/api/v1/parse", json.dumps(told).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)["events"][0]["source_profile_id"]


def write(folder: Path, *names: str) -> None:
    for name in names:
        text = f"source_profile: {{id: {name}, name: {name.title()}}}\n"
        (folder / f"{name}.yaml").write_text(text)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], Path]:
    folder = tmp_path / "profiles"
    folder.mkdir()
    write(folder, "lab", "epic")

    def written(rules: str) -> Path:
        file = tmp_path / "settings.yaml"
        file.write_text(f"profiles:\n  path: {folder}\n  rules: {rules}\n")
        return file

    return written


RULES = "[{source: lab, profile: lab}, {application: EPIC, profile: epic}]"


def test_a_message_is_read_by_the_profile_that_is_for_it(settings: Callable[[str], Path]) -> None:
    with serving("--workers", "1", "--config", settings(RULES)) as (_, url, _line):
        assert parse(url, source="lab") == "lab"
        assert parse(url, source="ward") == "epic"
        assert parse(url, source="lab", options={"profile": "default"}) == "default"
        with pytest.raises(HTTPError) as told:
            parse(url, options={"profile": "none"})
        assert told.value.code == 422
        assert json.load(told.value)["error"] == "unknown_profile"
        told.value.close()


def test_a_reload_reads_the_profiles_again(settings: Callable[[str], Path]) -> None:
    file = settings("[]")
    with serving("--workers", "1", "--config", file) as (process, url, _line):
        assert parse(url, source="lab") == "default"
        settings(RULES)
        process.send_signal(signal.SIGHUP)
        until(lambda: parse(url, source="lab") == "lab", 30)
        (file.parent / "profiles" / "lab.yaml").write_text("source_profile: {id: lab}\n")
        process.send_signal(signal.SIGHUP)
        assert process.stdout
        until(lambda: "reload refused" in process.stdout.readline(), 30)  # type: ignore[union-attr]
        assert parse(url, source="lab") == "lab"
