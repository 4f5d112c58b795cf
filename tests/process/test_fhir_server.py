"""What a FHIR server nobody here wrote makes of our bundles; slow, for npm has to fetch it."""

import http.client
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fifhir import batch
from fifhir.errors import MessageError
from fifhir.fhir.bundle import to_bundle
from fifhir.fhir.vocabulary import KINDS
from fifhir.intake import Feed, read

SERVER = Path(__file__).with_name("fhir_server.mjs")
PACKAGES = [f"@medplum/{name}@4.5.2" for name in ("fhir-router", "core", "definitions")]
MESSAGES = Path(__file__).parents[1] / "messages"
EVENTS = (
    *(
        "adt_a01",
        "adt_a02",
        "adt_a03",
        "oru_two_orders",
        "oml_o21_specimens",
        "vxu_v04_three_doses",
    ),
    *("siu_s12_full", "rde_o11_two_drugs", "ras_o17", "mdm_t02_text", "dft_p03", "ppr_pc1"),
    "several_patients",
)
EXAMPLE = Path(__file__).parents[2] / "examples/oru_r01.hl7"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Server:
    """Medplum's router on a free port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/fhir+json"}
            client.request(method, path, json.dumps(body) if body else None, headers)
            return json.loads(client.getresponse().read())
        finally:
            client.close()

    def send(self, bundle: dict[str, Any]) -> list[str]:
        """The status of every entry."""
        answer = self.ask("POST", "/", bundle)
        assert answer["resourceType"] == "Bundle", answer
        return [each["response"]["status"] for each in answer["entry"]]

    def count(self) -> Counter[str]:
        kinds = {kind.resource for kind in KINDS.values()}
        return Counter(
            {
                kind: self.ask("GET", f"/{kind}?_summary=count&_total=accurate")["total"]
                for kind in kinds
            }
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the server and what it needs."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("fhir")
    if not (npm and shutil.which("node")):
        pytest.skip("there is no npm: no FHIR server to try")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=250)
    if fetched.returncode:
        pytest.skip("npm could not fetch a FHIR server: it is not tried")
    shutil.copy(SERVER, folder)
    return folder


@pytest.fixture
def server(house: Path) -> Iterator[Server]:
    """A server with nothing in it."""
    command = ["node", SERVER.name]
    with subprocess.Popen(command, cwd=house, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()


def bundle_of(file: Path, strategy: Any) -> dict[str, Any]:
    event = msgspec.to_builtins(read(file.read_bytes(), Feed(source="lab")))
    return to_bundle(event, strategy).bundle


def example(strategy: Any) -> dict[str, Any]:
    return bundle_of(EXAMPLE, strategy)


@pytest.mark.parametrize("strategy", ["put", "conditional_create", "conditional_update"])
def test_five_times_is_as_once(server: Server, strategy: Any) -> None:
    bundles = [bundle_of(MESSAGES / f"{name}.hl7", strategy) for name in EVENTS]
    for bundle in bundles:
        assert set(server.send(bundle)) <= {"200", "201"}
    once = server.count()
    assert once["Patient"] > 1
    assert sum(once.values()) > 50
    for _ in range(4):
        for bundle in bundles:
            assert set(server.send(bundle)) == {"200"}
    assert server.count() == once


@pytest.mark.parametrize("operation", ["create", "update", "upsert"])
def test_the_server_is_proven_before_go_live(
    server: Server, tmp_path: Path, operation: str
) -> None:
    action = {"type": "fhir", "endpoint": f"http://127.0.0.1:{server.port}", "operation": operation}
    file = tmp_path / "workflow.yaml"
    file.write_text(json.dumps({"name": "w", "routes": [{"name": "all", "actions": [action]}]}))
    command = [sys.executable, "-m", "fifhir", "serve", "--check-destination", "-w", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 FHIR destinations proven" in done.stdout
    assert server.ask("GET", "/Organization?_summary=count&_total=accurate")["total"] == 0


def test_references_lead_to_what_was_written(server: Server) -> None:
    server.send(example("conditional_create"))
    (report, *_) = (each["resource"] for each in server.ask("GET", "/DiagnosticReport")["entry"])
    for each in (report["subject"], *report["result"]):
        assert server.ask("GET", f"/{each['reference']}")["resourceType"] in {
            "Patient",
            "Observation",
        }


def test_real_messages_are_taken(server: Server, corpus: Path) -> None:
    files = sorted(path for path in (corpus / "messages").rglob("*") if path.is_file())
    taken = 0
    for path in random.Random(7).sample(files, 150):  # noqa: S311 - a choice, not a secret
        for raw in batch.split(path.read_bytes())[:3]:
            try:
                bundle = to_bundle(msgspec.to_builtins(read(raw, Feed()))).bundle
            except (MessageError, ValueError):
                continue
            assert set(server.send(bundle)) <= {"200", "201"}, path.name
            taken += 1
    assert taken > 50
