"""A workflow file is right as a whole, or every mistake in it is told with its place."""

from pathlib import Path

import pytest

from fifhir.errors import ConfigError
from fifhir.sinks.log import LogConfig
from fifhir.workflow.config import DEFAULT, load

GOOD = """\
name: hospital
version: 1.0
routes:
  - name: admissions
    filter: {event_type: [patient_admit, patient_update], source: north}
    actions:
      - {type: log, level: warn, message: Somebody came}
  - name: everything
    actions: [{type: log}]
"""

BAD = """\
workflow:
  name: hospital
  routes:
    - name: admissions
      filter:
        event_type: [patient_admitt, lab_result]
        condition: event.patient.mnr != "" && event.is_critical
      actions:
        - type: log
          message: "seen {{.Type}}"
          levle: info
    - name: labs
      filtr: {event_type: lab_result}
      transform: [{set_field: patient.mrn.x = 1}, {}]
      actions:
        - {type: wehbook, url: "https://example.org"}
        - {type: lgo}
        - {level: info}
    - name: labs
      actions: []
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, "workflow.yaml")
    return [str(finding) for finding in caught.value.findings]


def test_a_good_file_is_read() -> None:
    config = load(GOOD, "workflow.yaml")
    assert (config.name, config.version) == ("hospital", "1.0")
    first, second = config.routes
    assert first.filter.event_types == ("patient_admit", "patient_update")
    assert first.filter.sources == ("north",)
    assert first.actions == (LogConfig(level="warn", message="Somebody came"),)
    assert second.filter.event_types == ()
    assert second.actions == (LogConfig(),)


def test_it_may_stand_under_a_workflow_key() -> None:
    wrapped = "workflow:\n" + "".join(f"  {line}\n" for line in GOOD.splitlines())
    assert load(wrapped, "w") == load(GOOD, "w")


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    assert faults(BAD) == [
        "workflow.yaml:6:22: FF109 unknown event type 'patient_admitt', "
        "did you mean 'patient_admit'?",
        "workflow.yaml:11:11: FF103 unknown field 'levle', did you mean 'level'?",
        "workflow.yaml:13:7: FF103 unknown field 'filtr', did you mean 'filter'?",
        "workflow.yaml:14:51: FF204 a transform has exactly one of set_field, map_terminology, "
        "redact, rename, copy; found none",
        "workflow.yaml:16:18: FF107 unknown type 'wehbook', did you mean 'webhook'?",
        "workflow.yaml:17:18: FF107 unknown type 'lgo', did you mean 'log'?",
        "workflow.yaml:18:11: FF104 missing field 'type'",
        "workflow.yaml:19:13: FF106 duplicate name 'labs', first given in line 12",
        "workflow.yaml:20:16: FF105 needs at least 1 entry",
    ]


FIELDS = """\
name: hospital
routes:
  - name: admissions
    filter:
      event_type: [patient_admit, patient_update]
      condition: event.patient.mnr != "" && event.is_critical
    transform:
      - set_field: patient.mrn.x = 1
      - set_field: patient.region.name = north
      - redact: {fields: [patient.addrezs]}
      - rename: {from: encounter.id, to: encounter.visit}
    actions:
      - type: log
        message: "{{.patient.region.name}} {{.encounter.visit}} {{.patient.phones.value}}"
  - name: labs
    filter:
      event_type: [lab_result, patient_admit]
      condition: >-
        event.is_critical &&
        event.results.exists(r, r.result.valvue == "1")
    actions:
      - {type: log, message: "{{range .results}}{{.test.loinc}}{{end}}{{.patient.extensions.x}}"}
  - name: any
    filter: {condition: "event.result.value == 'x' || event.segments[0].fields['3'] == ''"}
    transform: [{map_terminology: {field: test.local_code, from: A, to: B}}]
    actions: [{type: log}]
  - name: broken
    filter: {condition: event.patient.mrn = "A"}
    actions: [{type: log, message: "seen {{.Type"}]
  - name: constant
    filter: {condition: event.patient.mrn}
    actions: [{type: log, message: "{{.Type}} {{foo .Type}}"}]
"""


def test_fields_are_checked_against_the_events_a_route_takes() -> None:
    assert faults(FIELDS) == [
        "workflow.yaml:6:32: FF103 unknown field 'patient.mnr', did you mean 'patient.mrn'?",
        "workflow.yaml:6:51: FF103 unknown field 'is_critical'",
        "workflow.yaml:20:42: FF103 unknown field 'results[*].result.valvue', "
        "did you mean 'results[*].result.value'?",
        "workflow.yaml:28:43: FF201 unexpected character '='; write ==",
        "workflow.yaml:29:42: FF202 this {{ is never closed; it needs }}",
        "workflow.yaml:31:25: FF201 a condition must be true or false, this is string; compare it",
        "workflow.yaml:32:49: FF202 unknown function 'foo'; known: and, eq, ge, gt, index, le, "
        "len, lt, ne, not, or, print, printf, urlquery",
    ]
    mended = (
        FIELDS[: FIELDS.index("  - name: broken")].replace("mnr", "mrn").replace("valvue", "value")
    )
    assert faults(mended.replace(" && event.is_critical\n    tr", "\n    tr")) == [
        "workflow.yaml:8:20: FF103 patient.mrn is a single value and has no fields",
        "workflow.yaml:10:27: FF103 unknown field 'patient.addrezs', "
        "did you mean 'patient.address'?",
        "workflow.yaml:14:82: FF103 patient.phones is a list and has no fields; "
        "write patient.phones[0].value for one of them",
        "workflow.yaml:22:56: FF103 unknown field 'results[*].test.loinc', "
        "did you mean 'results[*].test.loinc_code'?",
    ]


@pytest.mark.parametrize(
    ("condition", "finding"),
    [
        (
            "event.result.value > 7",
            "string and int are never alike; convert the text, as in double(x)",
        ),
        ("event.patient.mrn", "a condition must be true or false, this is string; compare it"),
        ("event.results.exists(r, r.result.value == 7.1)", "string and double are never alike"),
        ("event.is_critical == 'true'", "bool and string are never alike"),
        ("event.results[0].order == '1'", "int and string are never alike"),
        ("event.patient.mrn.all(x, true)", "all() needs a list or a map"),
    ],
)
def test_what_a_field_can_never_be_is_told(condition: str, finding: str) -> None:
    route = f'{{name: a, filter: {{condition: "{condition}"}}, actions: [{{type: log}}]}}'
    text = f"name: n\nroutes: [{route}]"
    assert finding in faults(text)[0]
    good = text.replace(condition, "double(event.result.value) > 7 && event.patient.mrn != null")
    assert load(good, "w").routes[0].name == "a"


def test_a_mapping_is_named_and_its_file_is_there(tmp_path: Path) -> None:
    text = """\
name: n
mappings:
  - {source_system: A, target_system: B, file: a.csv}
  - {source_system: A, target_system: C, file: c.csv}
routes:
  - name: r
    transform: [{map_terminology: {field: test.local_code, from: A, to: %s}}]
    actions: [{type: log}]
"""
    (tmp_path / "a.csv").write_text("source_code,target_code\n1,2\n")
    name = str(tmp_path / "w.yaml")
    with pytest.raises(ConfigError) as caught:
        load(text % "B", name)
    assert str(caught.value) == f"{tmp_path}/c.csv: FF205 no such file or directory"
    (tmp_path / "c.csv").write_text("source_code\n1\n")
    with pytest.raises(ConfigError, match="FF205 has no column target_code"):
        load(text % "B", name)
    (tmp_path / "c.csv").write_text("source_code,target_code\n1,2\n")
    assert load(text % "B", name).mappings[0].file == f"{tmp_path}/a.csv"
    with pytest.raises(ConfigError, match="7:66: FF205 no mapping from 'A' to 'D' under mappings"):
        load(text % "D", name)


def test_variables_and_files_stand_for_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "level").write_text("warn\n")
    text = (
        "name: ${N:-x}\nroutes: [{name: '$${a}', actions: [{type: log, level: '${file:level}'}]}]"
    )
    config = load(text, str(tmp_path / "w.yaml"), {"N": "y"})
    assert (config.name, config.routes[0].name) == ("y", "${a}")
    assert config.routes[0].actions == (LogConfig(level="warn"),)
    with pytest.raises(ConfigError, match="FF102 cannot read the file gone: no such file"):
        load(text.replace(":level", ":gone"), str(tmp_path / "w.yaml"), {})


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "w:1:1: FF100 the file is empty"),
        ("name: a", "w:1:1: FF104 missing field 'routes'"),
        ("name: a\nroutes:", "w:2:8: FF105 expected a list, found nothing"),
        (
            "workflow: {name: a, routes: [{name: b, actions: [{type: log}]}]}\nx: 1",
            "w:2:1: FF103 unknown",
        ),
        ("just text", "w:1:1: FF105 expected a mapping, found 'just text'"),
    ],
)
def test_an_unfinished_file_is_refused(text: str, finding: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, "w")
    assert str(caught.value.findings[0]).startswith(finding)


def test_the_default_logs_every_event() -> None:
    (route,) = DEFAULT.routes
    assert route.name == "all_events"
    assert route.actions == (LogConfig(level="info", message="Event processed"),)
