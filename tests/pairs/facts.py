"""What a bundle says, as facts that two converters can be compared by.

Names, identifiers, birth date and sex of the patient; class of the visit; codes, values and units
of results; codes of reports, orders, diagnoses, allergies and vaccines; how many resources there
are of each kind that is chosen; and whether results and reports lead to the patient.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
COUNTED = (
    *("Patient", "Encounter", "Observation", "DiagnosticReport", "ServiceRequest", "Specimen"),
    *("AllergyIntolerance", "Condition", "Coverage", "RelatedPerson", "MessageHeader"),
)
CODED = ("DiagnosticReport", "ServiceRequest", "Condition", "AllergyIntolerance")
SUBJECTS = ("Observation", "DiagnosticReport", "ServiceRequest", "Encounter")


def facts(bundle: Json) -> Counter[tuple[str, str]]:
    """Every fact, as often as the bundle says it."""
    resources = [each.get("resource", each) for each in bundle.get("entry", ())]
    names = {each.get("fullUrl"): each["resource"]["resourceType"] for each in bundle["entry"]}
    found: Counter[tuple[str, str]] = Counter()
    for resource in resources:
        kind = resource["resourceType"]
        if kind in COUNTED:
            found["count", kind] += 1
        found.update(_said(kind, resource))
        if kind in SUBJECTS and _leads(resource.get("subject"), names):
            found["subject", kind] += 1
    return _counts_as_values(found)


def _counts_as_values(found: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """How often a kind comes, or leads to the patient, is one fact and not as many."""
    numbers = {key: count for key, count in found.items() if key[0] in {"count", "subject"}}
    rest = Counter({key: count for key, count in found.items() if key not in numbers})
    return rest + Counter((f"{what} {kind}", str(count)) for (what, kind), count in numbers.items())


def _leads(reference: Any, names: Json) -> bool:
    said = str((reference or {}).get("reference", ""))
    return str(names.get(said, said.partition("/")[0])) == "Patient"


def _said(kind: str, resource: Json) -> Iterator[tuple[str, str]]:
    if kind == "Patient":
        yield from _patient(resource)
    if kind == "Encounter":
        yield "class", str(resource.get("class", {}).get("code", ""))
    if kind == "Observation":
        yield from _observation(resource)
    if kind in CODED:
        yield from ((f"code {kind}", each) for each in _codes(resource.get("code")))
    if kind == "Immunization":
        yield from (("vaccine", each) for each in _codes(resource.get("vaccineCode")))


def _patient(resource: Json) -> Iterator[tuple[str, str]]:
    for name in resource.get("name", ()):
        yield from (("family", word) for word in [name.get("family")] if word)
        yield from (("given", word) for word in name.get("given", ()))
    for identifier in resource.get("identifier", ()):
        yield from (("identifier", value) for value in [identifier.get("value")] if value)
    yield from (("born", each[:10]) for each in [resource.get("birthDate")] if each)
    yield from (("sex", each) for each in [resource.get("gender")] if each)


def _observation(resource: Json) -> Iterator[tuple[str, str]]:
    yield from (("code Observation", each) for each in _codes(resource.get("code")))
    quantity = resource.get("valueQuantity", {})
    if "value" in quantity:
        yield "value", f"{float(quantity['value']):g}"
    if quantity.get("unit"):
        yield "unit", quantity["unit"]
    if "valueString" in resource:
        yield "value", " ".join(resource["valueString"].split())
    yield from (("value", each) for each in _codes(resource.get("valueCodeableConcept")))
    if "valueDateTime" in resource:
        yield "value", resource["valueDateTime"][:10]


def _codes(concept: Any) -> list[str]:
    return [each["code"] for each in (concept or {}).get("coding", ()) if each.get("code")]
