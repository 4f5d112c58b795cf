"""Templates write what their author meant, escaped for where it goes, or are refused at load."""

from typing import Any

import pytest

from fifhir import template
from fifhir.errors import TemplateError, TemplateFault
from fifhir.template import Escape

EVENT: dict[str, Any] = {
    "type": "lab_result",
    "is_critical": True,
    "total": 350.0,
    "rate": 0.25,
    "nothing": None,
    "patient": {"mrn": 'A|1"/b', "given_name": "Zoë"},
    "results": [{"result": {"value": "7.1"}}, {"result": {"value": "8.2"}, "notes": ["x", "y"]}],
}

RENDERED = [
    ("fixed text", "fixed text"),
    ("{{.type}}", "lab_result"),
    ("{{ .Type }} {{.Patient.GivenName}}", "lab_result Zoë"),
    ("{{.is_critical}} {{.total}} {{.rate}}", "true 350 0.25"),
    ("[{{.nope}}{{.nope.deeper}}{{.nothing}}{{.nothing.deeper}}]", "[]"),
    ("{{.results}}", '[{"result":{"value":"7.1"}},{"result":{"value":"8.2"},"notes":["x","y"]}]'),
    ("{{(index .results 0).result.value}}", "7.1"),
    ('{{index .patient "given_name"}} {{index .results 1 "notes" 0}}', "Zoë x"),
    ("{{len .results}} {{len .type}} {{len .nope}}", "2 10 0"),
    (
        '{{printf "%-12s|%5d|%.2f|%05.1f|%v|%t|%q|%%" .type .total .rate .rate .total true "a"}}',
        'lab_result  |  350|0.25|000.2|350|true|"a"|%',
    ),
    ('{{print "a" 1 2 "b"}} {{.patient.given_name | printf "%s!"}}', "a1 2b Zoë!"),
    ("{{if .is_critical}}yes{{else}}no{{end}}", "yes"),
    ('{{if eq .type "a"}}1{{else if eq .type "b" "lab_result"}}2{{else}}3{{end}}', "2"),
    ("{{if and .is_critical (not .nope)}}a{{end}}{{if or .nope false}}b{{end}}", "a"),
    ("{{or .nope .type}} {{and .type .total}}", "lab_result 350"),
    ("{{if lt 1 2}}<{{end}}{{if ge .total 350}}>={{end}}{{if ne .type `x`}}!={{end}}", "<>=!="),
    ("{{if le `a` `b`}}1{{end}}{{if gt .total 1000.5}}2{{end}}{{eq .nope nil}}", "1true"),
    ("{{range .results}}{{.result.value}};{{end}}", "7.1;8.2;"),
    (
        "{{range $i, $r := .results}}{{$i}}:{{$r.result.value}}:{{$.type}} {{end}}",
        "0:7.1:lab_result 1:8.2:lab_result ",
    ),
    ("{{range $k, $v := .patient}}{{$k}} {{end}}", "given_name mrn "),
    ("{{range .nope}}x{{else}}none{{end}}", "none"),
    ("{{range .results}}{{range .notes}}{{.}}{{end}}{{end}}", "xy"),
    ("{{with .patient}}{{.given_name}}{{end}}{{with .nope}}x{{else}}y{{end}}", "Zoëy"),
    ("{{with $p := .patient}}{{$p.given_name}}{{end}}", "Zoë"),
    ("a  {{- .type -}}  b {{/* no more */}}c{{- /* none */ -}} d", "alab_resultb cd"),
    (r'{{"a\tb\"\u00e9"}}', 'a\tb"é'),
]

FAULTS = [
    "{{.type.deeper}}",
    "{{index .results 2}}",
    "{{index .results `a`}}",
    "{{index .nope 0}}",
    "{{len .total}}",
    "{{eq .type 1}}",
    "{{lt .nope 1}}",
    "{{eq .patient .patient}}",
    "{{range .type}}{{end}}",
    '{{printf "%d" .type}}',
    '{{printf "%s"}}',
    '{{printf "x" 1}}',
    '{{printf "%9999d" 1}}',
    "{{printf .total}}",
]

REFUSED = [
    ("{{.type", 1, "never closed"),
    ("ab {{if .x}}", 6, "this 'if' has no end"),
    ("{{if .x}}{{else}}", 3, "no end after its else"),
    ("{{end}}", 3, "belongs to no if, range or with"),
    ("{{else}}", 3, "belongs to no if, range or with"),
    ("{{foo .x}}", 3, "unknown function 'foo'; known: and, eq"),
    ("{{.x .y}}", 6, "unexpected 'y'"),
    ("{{}}", 3, "expected a value, found the end"),
    ("{{(.x}}", 6, "expected ')'"),
    ("{{.x | .y}}", 8, "only a function"),
    ("{{$x}}", 3, "unknown variable $x"),
    ("{{not}}", 3, "does not take 0"),
    ("{{len .x .y}}", 3, "does not take 2"),
    ("{{printf len .x}}", 10, "into parentheses"),
    ("{{.x # }}", 6, "unexpected character"),
    (r'{{"\q"}}', 4, r"unknown escape \q"),
    ("{{range a, := .x}}{{end}}", 9, "write $name"),
    ("{{/* x", 1, "comment"),
    ("{{if .x}}" * 30 + "{{end}}" * 30, 213, "nested too deeply"),
    ("x" * 70_000, 1, "longer than"),
]

ESCAPED: list[tuple[Escape, str, str]] = [
    (
        "url",
        "https://example.org/{{.patient.mrn}}?q={{.patient.given_name}}",
        "https://example.org/A%7C1%22%2Fb?q=Zo%C3%AB",
    ),
    ("url", "?q={{.patient.mrn | urlquery}}", "?q=A%7C1%22%2Fb"),
    (
        "json",
        '{"a": "{{.patient.mrn}}", "b": {{.patient.mrn}}}',
        '{"a": "A|1\\"/b", "b": "A|1\\"/b"}',
    ),
    (
        "json",
        '{"a": {{.nope}}, "b": "{{.nope}}", "c": {{.results}}, "d": {{.total}}}',
        '{"a": null, "b": "", "c": [{"result":{"value":"7.1"}},'
        '{"result":{"value":"8.2"},"notes":["x","y"]}], "d": 350.0}',
    ),
    (
        "json",
        '{"a": {{if .nope}}"x"{{else}}{{.type}}{{end}}, "b": "{{.type}}"}',
        '{"a": "lab_result", "b": "lab_result"}',
    ),
    ("header", "Bearer {{.line}}", "Bearer a b"),
    ("hl7", "PID|||{{.patient.mrn}}", 'PID|||A\\F\\1"/b'),
]


@pytest.mark.parametrize(("text", "wanted"), RENDERED)
def test_templates_render_as_their_author_meant(text: str, wanted: str) -> None:
    assert template.compile(text).render(EVENT) == wanted


@pytest.mark.parametrize("text", FAULTS)
def test_what_cannot_be_rendered_is_a_fault(text: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        template.compile(text).render(EVENT)
    assert "lab_result" not in str(caught.value)


@pytest.mark.parametrize(("text", "column", "words"), REFUSED)
def test_what_cannot_be_right_is_refused_with_its_column(
    text: str, column: int, words: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        template.compile(text)
    assert words in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize(("escape", "text", "wanted"), ESCAPED)
def test_values_are_escaped_for_where_they_go(escape: Escape, text: str, wanted: str) -> None:
    event = {**EVENT, "line": "a\r\nb"}
    assert template.compile(text, escape).render(event) == wanted


def test_no_template_writes_or_turns_without_end() -> None:
    event = {"many": list(range(2000)), "long": "x" * 1000}
    with pytest.raises(TemplateFault, match="more than 1048576 characters"):
        template.compile("{{range .many}}{{$.long}}{{end}}").render(event)
    with pytest.raises(TemplateFault, match="turn more than 100000 times"):
        template.compile("{{range .many}}{{range $.many}}{{end}}{{end}}").render(event)


@pytest.mark.parametrize("name", ["ID", "MRN", "GivenName", "HL7Version", "PatientIDType", "x"])
def test_names_of_go_are_those_of_json(name: str) -> None:
    known = {"ID": "id", "MRN": "mrn", "GivenName": "given_name", "HL7Version": "hl7_version"}
    known |= {"PatientIDType": "patient_id_type", "x": "x"}
    assert template.compile(f"{{{{.{name}}}}}").render({known[name]: "found"}) == "found"


def test_the_fields_a_template_reads_are_known() -> None:
    made = template.compile("{{.Type}}{{range .results}}{{.result.value}}{{end}}")
    assert made.uses == (
        (("type",), 3),
        (("results",), 18),
        (("results", None, "result"), 30),
        (("results", None, "result", "value"), 37),
    )
    assert not made.is_constant
    assert template.compile("fixed").is_constant
