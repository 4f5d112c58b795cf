"""What a newcomer reads is what happens: docs/getting-started.md, from first to last command.

All of its ```sh blocks run in one shell, as somebody would type them. Only the ports are others, as
this machine may run more than this, and what is set up already is not set up again.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.stand import ROOT

PAGE = (ROOT / "docs/getting-started.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MINUTES = 10


def free_ports(count: int) -> list[int]:
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.timeout(60 * MINUTES)
def test_from_a_clone_to_a_replay_in_ten_minutes(tmp_path: Path) -> None:
    """Setting up takes its minute or two before; that is the test of `make run` (.ci)."""
    api, operations, receiver = map(str, free_ports(3))
    script = "\n".join(BLOCKS).replace("8080", api).replace("8099", receiver)
    for there in ("make setup\n", ". .venv/bin/activate\n"):
        assert there in script
        script = script.replace(there, "")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FI_FHIR_")}
    given = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FI_FHIR_SERVER_PORT": api,
        "FI_FHIR_METRICS_PORT": operations,
        "FI_FHIR_DATA_DIR": str(tmp_path / "data"),
    }
    command = ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p)' ERR\n{script}"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=clean | given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "is valid" in ended.stdout
    assert '"dlqId"' in ended.stdout
    assert "1 delivered" in ended.stderr
    assert '"type":"patient_admit"' in (tmp_path / "received.txt").read_text()


def test_the_page_is_found_from_the_readme() -> None:
    assert "docs/getting-started.md" in (ROOT / "README.md").read_text()
