"""MLLP with senders other people have written for Node.js; slow, for npm has to fetch them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Running

SENDERS = Path(__file__).with_name("senders.cjs")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("library", "version"), [("node-hl7-client", "3.2.0"), ("simple-hl7", "3.3.0")]
)
def test_senders_for_node_are_acknowledged(
    serve: Callable[..., "Running"], tmp_path: Path, library: str, version: str
) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (npm and node):
        pytest.skip("there is no npm: node-hl7-client and simple-hl7 are not tried")
    fetched = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"{library}@{version}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=200,
    )
    if fetched.returncode:
        pytest.skip(f"npm could not fetch {library}: it is not tried")
    (tmp_path / SENDERS.name).write_bytes(SENDERS.read_bytes())
    daemon = serve("--workers", "1", FI_FHIR_MLLP_ENABLED="true", FI_FHIR_MLLP_PORT="0")
    port = daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1]
    sent = subprocess.run(
        [node, SENDERS.name, library, port],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert sent.returncode == 0, sent.stderr
    answers = [json.loads(line) for line in sent.stdout.splitlines() if line.startswith('"')]
    assert [
        next(line for line in answer.replace("\n", "\r").split("\r") if line.startswith("MSA"))
        for answer in answers
    ] == ["MSA|AA|N1", "MSA|AA|N2", "MSA|AA|N3"]
