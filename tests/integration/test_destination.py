"""`fi-fhir serve --check-destination` against servers that keep the promise, and that do not."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fifhir.cli.destination import check_all
from fifhir.workflow.config import load
from tests.web import Server

Answer = tuple[int, dict[str, str], bytes]
Check = Callable[..., tuple[int, str]]
CAPABILITIES = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}


class Fhir:
    """A small FHIR server in memory; `forgets` and `keeps` are what it does wrong."""

    def __init__(self, *, forgets: bool = False, keeps: bool = False, leads: bool = True) -> None:
        self.forgets, self.keeps, self.leads = forgets, keeps, leads
        self.stored: dict[str, dict[str, Any]] = {}

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/metadata"):
            return 200, {}, json.dumps(CAPABILITIES).encode()
        if method == "POST":
            return 200, {}, json.dumps(self.transaction(json.loads(body))).encode()
        if "?" in path:
            wanted = path.rpartition("%7C")[2]
            found = [each for each in self.stored.values() if self.number(each) == wanted]
            return 200, {}, json.dumps({"entry": found}).encode()
        number = path.rpartition("/")[2]
        if method == "DELETE" and not self.keeps:
            del self.stored[number]
            return 204, {}, b""
        return (405 if method == "DELETE" else 200), {}, json.dumps(self.stored[number]).encode()

    @staticmethod
    def number(resource: dict[str, Any]) -> str:
        return str(resource["identifier"][0]["value"])

    def transaction(self, bundle: dict[str, Any]) -> dict[str, Any]:
        places: dict[str, str] = {}
        entries = [self.entry(each, places) for each in bundle["entry"]]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}

    def entry(self, entry: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
        resource = entry["resource"]
        same = [n for n, each in self.stored.items() if self.number(each) == self.number(resource)]
        known = [] if self.forgets else same
        number = known[0] if known else f"n{len(self.stored)}"
        places[entry["fullUrl"]] = f"Organization/{number}"
        if self.leads and "partOf" in resource:
            resource["partOf"] = {"reference": places[resource["partOf"]["reference"]]}
        if not (known and "ifNoneExist" in entry["request"]):
            self.stored[number] = resource
        status = "200 OK" if known else "201 Created"
        return {"response": {"status": status, "location": f"Organization/{number}/_history/1"}}


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    def now(endpoint: str, operation: str = "create") -> tuple[int, str]:
        action = {"type": "fhir", "endpoint": endpoint, "operation": operation, "timeout": "5s"}
        route = {"name": "to_ehr", "actions": [action]}
        status = check_all(load(json.dumps({"name": "w", "routes": [route]}), "workflow.yaml"))
        return status, capsys.readouterr().out

    return now


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture
def serve(server: Server) -> Callable[[Fhir], str]:
    def begin(fhir: Fhir) -> str:
        server.serve = fhir
        return f"{server.url}/r4"

    return begin


@pytest.mark.parametrize("operation", ["create", "update", "upsert"])
def test_a_server_that_keeps_the_promise_is_proven_and_left_clean(
    check: Check, serve: Callable[[Fhir], str], operation: str
) -> None:
    fhir = Fhir()
    status, said = check(serve(fhir), operation)
    assert status == 0, said
    assert said.count("  ok") == 6
    assert "1 of 1 FHIR destinations proven" in said
    assert fhir.stored == {}


def test_a_server_that_writes_twice_is_found_out_and_left_clean(
    check: Check, serve: Callable[[Fhir], str]
) -> None:
    fhir = Fhir(forgets=True)
    status, said = check(serve(fhir))
    assert status == 1
    assert "FAILED  the same again writes nothing new: entries answered 201, 201, not 200" in said
    assert fhir.stored == {}


def test_references_that_lead_nowhere_are_found_out(
    check: Check, serve: Callable[[Fhir], str]
) -> None:
    status, said = check(serve(Fhir(leads=False)))
    assert status == 1
    assert re.search(r"FAILED +urn:uuid references .*: the reference was left as it was sent", said)


def test_what_cannot_be_removed_is_named(check: Check, serve: Callable[[Fhir], str]) -> None:
    status, said = check(serve(Fhir(keeps=True)))
    assert status == 1
    assert "remove by hand: Organization/n1, Organization/n0" in said


def test_a_server_that_is_not_there_or_speaks_no_fhir_is_told(check: Check, server: Server) -> None:
    status, said = check(server.url)
    assert status == 1
    assert "FAILED  it answers as FHIR R4: 200, and no CapabilityStatement" in said
    status, said = check("http://127.0.0.1:9")
    assert status == 1
    assert "FAILED  it answers as FHIR R4: no connection" in said


def test_without_a_fhir_action_there_is_nothing_to_check(tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text("name: w\nroutes: [{name: a, actions: [{type: log}]}]\n")
    command = [sys.executable, "-m", "fifhir", "serve", "--check-destination", "-w", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no route of the workflow has a `fhir` action" in done.stderr
