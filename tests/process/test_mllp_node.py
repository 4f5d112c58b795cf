"""MLLP with what other people have written for Node.js; slow, for npm has to fetch it."""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Running

SENDERS = Path(__file__).with_name("senders.cjs")
RECEIVERS = Path(__file__).with_name("receivers.cjs")
WORKFLOW = "name: w\nroutes: [{{name: r, actions: [{{type: mllp, {}, retry_max: 0}}]}}]\n"
ADMIT = b"\x0bMSH|^~\\&|A|B|C|D|20260302||ADT^A01|M%d|P|2.5\rPID|1||9\rPV1|1|I\r\x1c\r"


def fetched(library: str, version: str, where: Path) -> str:
    """Node, once the library is there for it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (npm and node):
        pytest.skip(f"there is no npm: {library} is not tried")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"{library}@{version}"],
        cwd=where,
        capture_output=True,
        check=False,
        timeout=200,
    )
    if done.returncode:
        pytest.skip(f"npm could not fetch {library}: it is not tried")
    return node


@contextmanager
def receiving(node: str, library: str, where: Path, port: int) -> Iterator[None]:
    """Somebody else's receiver listens on the port."""
    (where / RECEIVERS.name).write_bytes(RECEIVERS.read_bytes())
    command = [node, RECEIVERS.name, library, str(port)]
    with subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE) as receiver:
        try:
            assert receiver.stdout
            assert receiver.stdout.readline() == b"listening\n"
            yield
        finally:
            receiver.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("library", "version", "keep_open"),
    [("node-hl7-server", "2.5.0", "false"), ("simple-hl7", "3.3.0", "true")],
)
def test_receivers_for_node_acknowledge(
    serve: Callable[..., "Running"], tmp_path: Path, library: str, version: str, keep_open: str
) -> None:
    node = fetched(library, version, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = tmp_path / "w.yaml"
    file.write_text(WORKFLOW.format(f"address: '127.0.0.1:{port}', keep_open: {keep_open}"))
    with receiving(node, library, tmp_path, port):
        options = ("--workers", "1", "--workflow", str(file))
        listening = {"FI_FHIR_MLLP_ENABLED": "true", "FI_FHIR_MLLP_PORT": "0"}
        daemon = serve(*options, **listening, FI_FHIR_MLLP_ACK_WHEN="after_actions")
        ours = int(daemon.entries("ready")[0]["mllp"].rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", ours), timeout=30) as sender:
            for number in range(3):
                sender.sendall(ADMIT % number)
                assert b"MSA|AA|M%d\r" % number in sender.recv(65536)
    assert daemon.metric("workflow_dlq_size") == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("library", "version"), [("node-hl7-client", "3.2.0"), ("simple-hl7", "3.3.0")]
)
def test_senders_for_node_are_acknowledged(
    serve: Callable[..., "Running"], tmp_path: Path, library: str, version: str
) -> None:
    node = fetched(library, version, tmp_path)
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
