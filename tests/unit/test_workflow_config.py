"""A workflow file is right as a whole, or every mistake in it is told with its place."""

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
        condition: event.patient.mrn != ""
      actions:
        - type: log
          message: "seen {{.Type}}"
          levle: info
    - name: labs
      filtr: {event_type: lab_result}
      transform: []
      actions:
        - {type: exec, url: "https://example.org"}
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
        "workflow.yaml:6:22: unknown event type 'patient_admitt', did you mean 'patient_admit'?",
        "workflow.yaml:7:9: 'condition' is not available yet in this release",
        "workflow.yaml:10:20: templates ({{...}}) are not available yet; write fixed text",
        "workflow.yaml:11:11: unknown field 'levle', did you mean 'level'?",
        "workflow.yaml:13:7: unknown field 'filtr', did you mean 'filter'?",
        "workflow.yaml:14:7: 'transform' is not available yet in this release",
        "workflow.yaml:16:18: type 'exec' is not available yet in this release",
        "workflow.yaml:17:18: unknown type 'lgo', did you mean 'log'?",
        "workflow.yaml:18:11: missing field 'type'",
        "workflow.yaml:19:13: duplicate name 'labs', first given in line 12",
        "workflow.yaml:20:16: needs at least 1 entry",
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "w:1:1: the file is empty"),
        ("name: a", "w:1:1: missing field 'routes'"),
        ("name: a\nroutes:", "w:2:8: expected a list, found nothing"),
        (
            "workflow: {name: a, routes: [{name: b, actions: [{type: log}]}]}\nx: 1",
            "w:2:1: unknown",
        ),
        ("just text", "w:1:1: expected a mapping, found 'just text'"),
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
