"""Dockerfile, compose file and systemd unit: judged by the tools that know them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fifhir import config

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
COMPOSE = ROOT / "deploy/docker/docker-compose.yaml"
UNIT = ROOT / "deploy/systemd/fi-fhir.service"


def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_one(tmp_path: Path) -> None:
    """Only where the program is, /opt/fi-fhir, is put somewhere else: it is not on this machine."""
    program = tmp_path / "fi-fhir"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "fi-fhir.service"
    unit.write_text(UNIT.read_text().replace("/opt/fi-fhir/bin/fi-fhir", str(program)))
    found = run("systemd-analyze", "verify", "--man=no", unit)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_confined() -> None:
    found = run("systemd-analyze", "security", "--offline=true", UNIT)
    score = re.search(r"exposure level for \S+: ([0-9.]+)", found.stdout)
    assert score, found.stdout + found.stderr
    assert float(score[1]) <= 2.0


def test_the_dockerfile_lints() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not hadolint:
        pytest.skip("there is no hadolint: make deploy-tools installs it")
    found = run(hadolint, DOCKERFILE)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_runs_as_nobody_and_has_what_the_runbook_calls() -> None:
    text = DOCKERFILE.read_text()
    assert "USER 65532:65532" in text
    assert {"netcat-openbsd", "postgresql-client"} <= set(text.split())


def test_compose_is_as_its_specification_has_it() -> None:
    spec = pytest.importorskip("compose_spec", reason="make deploy-tools installs compose-spec")
    spec.PyCompose.from_yaml(COMPOSE.read_text()).validate()
    with pytest.raises(ValueError, match="portz"):  # it does look
        spec.PyCompose.from_yaml(COMPOSE.read_text().replace("ports:", "portz:", 1))


def test_compose_publishes_nothing_beyond_this_machine() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ports = [port for each in services.values() for port in each.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_and_image_name_settings_there_are() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    given = set(services["fi-fhir"]["environment"])
    given |= set(re.findall(r"\b(FI_FHIR_\w+)=", DOCKERFILE.read_text() + UNIT.read_text()))
    assert given <= {variable for variable, _, _ in config.variables()}
