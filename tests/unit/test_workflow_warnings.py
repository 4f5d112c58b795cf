"""What `workflow validate` warns of, and that it stays quiet where there is nothing to say."""

import json
from pathlib import Path
from typing import Any

import pytest

from fifhir.errors import ConfigError
from fifhir.sinks import CONFIGS
from fifhir.workflow import jsonschema
from fifhir.workflow.config import WorkflowConfig, load, review

MAIL = {"type": "email", "smtp_host": "mail.example", "smtp_port": 587, "starttls": True}
MAIL |= {"from": "a@x.example", "to": "b@x.example", "subject": "News"}
QUEUE = {"type": "queue", "driver": "nats", "brokers": "127.0.0.1:4222", "topic": "hl7"}
ROWS = {"type": "database", "connection": "sqlite:///x.db", "table": "t"}
HOOK = {"type": "webhook", "url": "https://there.example/", "token": "t"}
PLAIN = HOOK | {"url": "http://there.example/"}
FHIR = {"type": "fhir", "endpoint": "https://there.example/r4"}
MLLP = {"type": "mllp", "address": "there.example:2575"}


def warned(action: dict[str, Any], **changed: Any) -> list[str]:
    route = {"name": "r", "filter": {"event_type": "patient_admit"}, "actions": [action]}
    whole = {"name": "w", "version": "1", "routes": [route | changed.pop("route", {})]} | changed
    _, warnings = review(json.dumps(whole), "w.yaml")
    return [each.code for each in warnings]


@pytest.mark.parametrize(
    ("action", "codes"),
    [
        ({"type": "log"}, []),
        (HOOK, []),
        (HOOK | {"token": ""}, ["FF303"]),
        (HOOK | {"token": "", "headers": {"X-Api-Key": "k"}}, []),
        (HOOK | {"token": "", "url": "http://127.0.0.1:8000/"}, []),
        (PLAIN, ["FF305"]),
        (HOOK | {"tls_insecure": True}, ["FF306"]),
        (FHIR, ["FF304"]),
        (MLLP, ["FF305"]),
        (MLLP | {"tls": True}, []),
        (MAIL, []),
        (MAIL | {"starttls": False}, ["FF305"]),
        (MAIL | {"subject": "About {{.patient.family_name}}"}, ["FF307"]),
        (QUEUE, []),
        (QUEUE | {"brokers": "127.0.0.1:4222,there.example:4222"}, ["FF305"]),
        (ROWS | {"mapping": {"mrn": "patient.mrn"}}, ["FF308"]),
        (ROWS | {"mapping": {"mrn": "patient.mrn", "k": "__key__"}}, []),
    ],
)
def test_what_may_be_a_mistake_is_a_warning(action: dict[str, Any], codes: list[str]) -> None:
    assert warned(action) == codes


def test_a_route_for_everything_and_a_file_without_a_version_are_told() -> None:
    assert warned({"type": "log"}, route={"filter": {}}, version="") == ["FF302", "FF301"]


def test_a_warning_has_its_place() -> None:
    text = (
        f"workflow:\n  name: w\n  routes:\n  - name: r\n    actions:\n    - {json.dumps(PLAIN)}\n"
    )
    _, warnings = review(text, "w.yaml")
    assert [str(each).split(": ")[0] for each in warnings] == [
        "w.yaml:2:9",
        "w.yaml:4:11",
        "w.yaml:6:7",
    ]


def test_map_terminology_uses_what_a_profile_translates(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "codes.csv").write_text("source_code,target_code\nK,2823-3\n")
    (tmp_path / "profiles" / "lab.yaml").write_text(
        "source_profile:\n  id: lab\n  name: Lab\n  version: '1'\n  terminology:\n    mappings:\n"
        "    - {source_system: LAB, target_system: LOINC, file: codes.csv}\n"
    )
    text = """\
name: n
profiles: [profiles/lab.yaml]
routes:
  - name: r
    transform: [{map_terminology: {field: test.local_code, from: LAB, to: %s}}]
    actions: [{type: log}]
"""
    name = str(tmp_path / "w.yaml")
    (mapping,) = load(text % "LOINC", name).mappings
    assert mapping.file == f"{tmp_path}/profiles/codes.csv"
    with pytest.raises(ConfigError, match=r"FF205 no mapping .* under mappings or in profiles"):
        load(text % "OTHER", name)
    with pytest.raises(ConfigError, match="FF205 no such file"):
        load((text % "LOINC").replace("lab.yaml", "gone.yaml"), name)


def test_every_action_is_in_the_reference_and_in_the_schema(root: Path) -> None:
    page = (root / "docs" / "workflows.md").read_text(encoding="utf-8")
    schema = json.dumps(jsonschema.document(WorkflowConfig))
    for name in CONFIGS:
        assert f"### Action `{name}`" in page
        assert f'"const": "{name}"' in schema


@pytest.mark.parametrize("name", ["critical_results", "ward_alerts"])
def test_the_examples_are_right(root: Path, name: str) -> None:
    path = root / "examples" / "workflows" / f"{name}.yaml"
    assert load(path.read_text(encoding="utf-8"), str(path)).name == name
