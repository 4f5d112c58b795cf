"""What the tests of LinuxForHealth's converter assert, read from their Java; and whether it is so.

An assertion counts if its variable says which resource it is about, if it compares a value, and
if that resource of ours has the element at all: what only they map is no difference.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]
KINDS = {
    "allergy": "AllergyIntolerance",
    "condition": "Condition",
    "coverage": "Coverage",
    "device": "Device",
    "diag": "DiagnosticReport",
    "diagnosticreport": "DiagnosticReport",
    "docref": "DocumentReference",
    "documentref": "DocumentReference",
    "encounter": "Encounter",
    "immu": "Immunization",
    "immunization": "Immunization",
    "medicationrequest": "MedicationRequest",
    "msgh": "MessageHeader",
    "obs": "Observation",
    "observation": "Observation",
    "org": "Organization",
    "organization": "Organization",
    "patient": "Patient",
    "pract": "Practitioner",
    "practitioner": "Practitioner",
    "procedure": "Procedure",
    "servicereq": "ServiceRequest",
    "servicerequest": "ServiceRequest",
    "specimen": "Specimen",
}
_PLURAL = re.compile(r"(resources?|s|list|one|two|obj|\d+)$")
_STEP = r"\.\w+\([^()]*\)"
_VALUE = re.compile(
    rf"assertThat\((\w+)((?:{_STEP})+)\) ?"
    r"\.(isEqualTo|hasToString|contains|containsPattern)\((.+)\);"
)
_CONCEPT = re.compile(
    rf"DatatypeUtils\.checkCommonCodeableConceptAssertions\((\w+)((?:{_STEP})+), (.+)\);"
)
_CODING = re.compile(rf"DatatypeUtils\.checkCommonCodingAssertions\((\w+)((?:{_STEP})+), (.+)\);")
_COUNT = re.compile(r"assertThat\((\w+)\)\.hasSize\((\d+)\);")
_GETTER = re.compile(r"\.(?:get)(\w+?)(?:FirstRep|Element)?\(\)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ENUM = re.compile(r"(?:\w+\.)+([A-Z_]+)")
_NUMBER = re.compile(r"\(*(?:new BigDecimal|BigDecimal\.valueOf)?\(?\"?(-?\d+(?:\.\d+)?)\"?f?\)*")


class Assertion(NamedTuple):
    """At `path` of a resource of `kind` there is `wanted`; a part of it where `partly`."""

    kind: str
    path: tuple[str, ...]
    wanted: str
    partly: bool = False

    def __str__(self) -> str:
        return f"{self.kind}.{'.'.join(self.path)} = {self.wanted}"


def read(text: str) -> Iterator[Assertion]:
    """The comparisons that one line of Java makes."""
    line = " ".join(text.split())
    if found := _VALUE.fullmatch(line):
        yield from _value(*found.groups())
    elif found := _CONCEPT.fullmatch(line):
        yield from _parts(
            found[1], found[2], found[3], ("coding.code", "coding.display", "coding.system", "text")
        )
    elif found := _CODING.fullmatch(line):
        yield from _parts(found[1], found[2], found[3], ("code", "display", "system"))
    elif (found := _COUNT.fullmatch(line)) and (kind := kind_of(found[1])):
        yield Assertion(kind, (), found[2])


def kind_of(variable: str) -> str:
    """The resource that a variable is named for, or nothing."""
    name = variable.lower()
    while name not in KINDS:
        shorter = _PLURAL.sub("", name)
        if shorter == name:
            return ""
        name = shorter
    return KINDS[name]


def _value(variable: str, chain: str, compares: str, argument: str) -> Iterator[Assertion]:
    kind, path = kind_of(variable), _path(chain)
    wanted = _literal(argument)
    if kind and path and wanted is not None:
        partly = compares.startswith("contains") or "substring" in chain
        yield Assertion(kind, path, wanted, partly)


def _parts(variable: str, chain: str, given: str, names: tuple[str, ...]) -> Iterator[Assertion]:
    kind, path = kind_of(variable), _path(chain)
    values = re.findall(r'null|"(?:[^"\\]|\\.)*"', given)
    if kind and path:
        for name, value in zip(names, values, strict=False):
            if value != "null":
                yield Assertion(kind, (*path, *name.split(".")), _unquoted(value))


def _path(chain: str) -> tuple[str, ...]:
    steps = []
    for step in _GETTER.findall(chain):
        name = step[0].lower() + step[1:]
        if name.endswith(("DateTimeType", "StringType", "IntegerType", "BooleanType")):
            name = name.removesuffix("Type")
        if name not in {"valueAsString", "idElement", "class"}:
            steps.append(name.rstrip("_"))
    return tuple(steps)


def _literal(argument: str) -> str | None:
    if _STRING.fullmatch(argument):
        return re.sub(r"^\w+Type\[(.*)\]$", r"\1", _unquoted(argument))
    if number := _NUMBER.fullmatch(argument):
        return f"{float(number[1]):g}"
    if enum := _ENUM.fullmatch(argument):
        return enum[1].lower().replace("_", "-")
    return None


def _unquoted(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def judge(assertion: Assertion, bundle: Json) -> bool | None:
    """Whether it is so; None where nothing of ours is there to compare."""
    resources = {each["fullUrl"]: each["resource"] for each in bundle["entry"]}
    ours = [each for each in resources.values() if each["resourceType"] == assertion.kind]
    if not assertion.path:
        count = sum(each not in _of_the_header(resources) for each in ours)
        return count == int(assertion.wanted) if count else None
    found = [
        said for each in ours for said in _at(each, assertion.path, resources) if said is not None
    ]
    if not found:
        return None
    return any(_same(said, assertion) for said in found)


def _of_the_header(resources: Json) -> list[Json]:
    """Who sends and who receives (MSH-4, MSH-6): they do not map those."""
    headers = [each for each in resources.values() if each["resourceType"] == "MessageHeader"]
    named = [
        reference
        for each in headers
        for reference in (
            each.get("sender", {}).get("reference"),
            *(to.get("receiver", {}).get("reference") for to in each.get("destination", ())),
        )
    ]
    return [resources[name] for name in named if name in resources]


def _at(value: Any, path: tuple[str, ...], resources: Json) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _at(each, path, resources)
    elif not path:
        yield value
    elif isinstance(value, dict):
        step, *rest = path
        if step == "reference" and value.get(step) in resources:
            yield f"{resources[value[step]]['resourceType']}/"
        for key, each in value.items():
            if key == step or (key.startswith(step) and key[len(step)].isupper()):
                yield from _at(each, tuple(rest), resources)
    elif path[0] in {"value", "display", "code"} and len(path) == 1:
        yield value  # of a primitive


def _same(said: Any, assertion: Assertion) -> bool:
    if isinstance(said, bool | dict):
        return str(said).lower() == assertion.wanted
    if isinstance(said, int | float):
        return f"{float(said):g}" == assertion.wanted
    one, other = _plain(str(said)), _plain(assertion.wanted)
    return (other in one or one in other) if assertion.partly else one == other


def _plain(text: str) -> str:
    """Without what says the same: case, spaces, and the zone and precision of a time."""
    if time := re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?", text):
        return f"{time[1]}{time[2] or ':00'}"
    return " ".join(text.lower().split())
