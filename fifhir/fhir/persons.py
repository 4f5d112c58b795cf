"""People, organizations and places: Patient, RelatedPerson, Practitioner and their like.

US Core 6.1.0 asks for more than the maps of HL7 say: race and ethnicity as extensions, a name and
a gender always, and why there is none.
"""

import re
from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import build, resource
from fifhir.fhir.vocabulary import CORE, Json, uri

OMB = "urn:oid:2.16.840.1.113883.6.238"
NPI = "http://hl7.org/fhir/sid/us-npi"
_OMB_RACES = frozenset({"1002-5", "2028-9", "2054-5", "2076-8", "2106-3"})
_OMB_ETHNICITIES = frozenset({"2135-2", "2186-5"})
_OMB_CODE = re.compile(r"\d{4}-\d")
_ETHNICITIES = {"H": "2135-2", "N": "2186-5"}  # HL70189
_AS_SAID: dict[str, str] = {}
_ANIMAL = "http://hl7.org/fhir/StructureDefinition/patient-animal"
_PLACES = (
    *(("", "facility"), ("", "building"), ("Floor ", "floor")),
    *(("", "unit"), ("Room ", "room"), ("Bed ", "bed")),
)
_PHYSICAL = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_PARTS = (  # the smallest part that is named says what kind of place it is (PL)
    *(("bed", "bd"), ("room", "ro"), ("floor", "lvl"), ("unit", "wa")),
    *(("building", "bu"), ("facility", "si")),  # codespell:ignore
)
_UNKNOWN = datatypes.absent("unknown")
_PRIMARY_CARE = frozenset({"PP", "FHCP"})  # HL70443, HL70912
_SUBSCRIBER_IS_PATIENT = frozenset({"SEL", "18"})  # HL70063, and what X12 has


def patient(given: Json, maker: Maker) -> Json:
    """US Core Patient: who the event is about."""
    return _complete(resource("Patient", given, maker), given, maker)


def prior_patient(given: Json, maker: Maker) -> Json:
    """The record a merge put an end to (MRG): its identifiers, no longer in use."""
    return _complete(resource("Prior", given, maker), given, maker) | {"active": False}


def _complete(made: Json, given: Json, maker: Maker) -> Json:
    extensions = [
        *_omb("race", given.get("race"), _OMB_RACES, _AS_SAID, maker),
        *_omb("ethnicity", given.get("ethnicity"), _OMB_ETHNICITIES, _ETHNICITIES, maker),
        *_animal(given, maker),
    ]
    if extensions:
        made["extension"] = extensions + made.get("extension", [])
    if "deceasedDateTime" in made:
        made.pop("deceasedBoolean", None)
    if "multipleBirthInteger" in made:
        made.pop("multipleBirthBoolean", None)
    if "name" not in made:
        made["name"] = [datatypes.absent("unknown")]
    elif "use" not in made["name"][0]:
        made["name"][0] = {"use": "official", **made["name"][0]}
    if "gender" not in made:
        made["gender"] = "unknown"
    if "ssn" in given:
        _once(made["identifier"])
    return made


def _once(identifiers: list[Json]) -> None:
    """A number that PID-3 has already is not repeated for PID-19."""
    for at, each in enumerate(identifiers):
        numbers = [(other.get("system"), other.get("value")) for other in identifiers[:at]]
        if (each.get("system"), each.get("value")) in numbers:
            del identifiers[at]
            return


def _omb(
    name: str, given: Any, categories: frozenset[str], v2: dict[str, str], maker: Maker
) -> list[Json]:
    """US Core's race and ethnicity: categories of OMB, further codes, and always a text."""
    if not given:
        return []
    parts: list[Json] = []
    words = []
    for each in given:
        said = datatypes.codeable(each, maker) or {}
        words += [text for text in [said.get("text") or _display(said)] if text]
        for coding in said.get("coding", ()):
            code = v2.get(coding.get("code", ""), coding.get("code", ""))
            if _OMB_CODE.fullmatch(code) and _checks(code):
                url = "ombCategory" if code in categories else "detailed"
                value = {"system": OMB, "code": code}
                display = {"display": coding["display"]} if "display" in coding else {}
                parts.append({"url": url, "valueCoding": value | display})
    if name == "ethnicity":  # at most one category
        parts = _one_category(parts)
    if not words:
        return []
    parts.append({"url": "text", "valueString": ", ".join(dict.fromkeys(words))})
    return [{"extension": parts, "url": CORE + name}]


def _checks(code: str) -> bool:
    """Whether the last digit of a code of CDC's races is what the others ask for (modulus 10)."""
    doubled = int(code[3] + code[1]) * 2
    digits = f"{doubled}{code[2]}{code[0]}"
    return (sum(map(int, digits)) + int(code[-1])) % 10 == 0


def _one_category(parts: list[Json]) -> list[Json]:
    categories = [part for part in parts if part["url"] == "ombCategory"]
    return categories[:1] + [part for part in parts if part["url"] != "ombCategory"]


def _display(said: Json) -> str:
    codings = said.get("coding") or [{}]
    return str(codings[0].get("display") or codings[0].get("code") or "")


def _animal(given: Json, maker: Maker) -> list[Json]:
    """PID-35 and PID-36; a breed without its species is said by a species that is unknown."""
    kinds = [(key, datatypes.concept(key, given.get(key), maker)) for key in ("species", "breed")]
    if not any(concept for _, concept in kinds):
        return []
    unknown = {"text": "unknown"}
    parts = [
        {"url": key, "valueCodeableConcept": concept or unknown}
        for key, concept in kinds
        if concept or key == "species"
    ]
    return [{"url": _ANIMAL, "extension": parts}]


def related_person(given: Json, maker: Maker) -> Json | None:
    """US Core RelatedPerson: a next of kin or other contact (NK1)."""
    return _related("NextOfKin", given, maker)


def mother(given: Json, maker: Maker) -> Json | None:
    """The mother, of whom only a number is known (PID-21)."""
    made = resource("Mother", given, maker)
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "MTH"}
    return made | {"active": True, "relationship": [{"coding": [coding]}]}


def guarantor(given: Json, maker: Maker) -> Json | None:
    """Who pays what insurers do not (GT1), a person."""
    made = _related("Guarantor", given, maker)
    if made and "relationship" not in made:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "GUAR"}
        made["relationship"] = [{"coding": [coding]}]
    return made


def subscriber(given: Json, maker: Maker) -> Json | None:
    """Whose policy it is, where that is not the patient (IN1)."""
    return _related("Subscriber", given, maker)


def _related(struct: str, given: Json, maker: Maker) -> Json | None:
    made = resource(struct, given, maker)
    if "name" not in made and "identifier" not in made:
        return None
    made["active"] = True
    if "relationship" not in made:
        made["relationship"] = [datatypes.absent_concept("unknown")]
    return made


def is_patients_own(relationship: Any) -> bool:
    """Whether a policy is the patient's own, as IN1-17 says."""
    return relationship in _SUBSCRIBER_IS_PATIENT


def contact(given: Json, maker: Maker) -> Json | None:
    """A next of kin that is an organization, or a person there (Patient.contact)."""
    made = build("Contact", given, maker)
    return made if "organization" in made else None


def practitioner(given: Json, maker: Maker) -> Json | None:
    """US Core Practitioner: a person who provides care (XCN)."""
    made = resource("Practitioner", given, maker)
    npi = datatypes.text(given.get("npi"), maker)
    if npi and datatypes.is_npi(npi):
        made["identifier"] = [{"system": NPI, "value": npi}]
    elif number := datatypes.text(given.get("id"), maker) or npi:
        made["identifier"] = [{"value": number}]
        if assigner := datatypes.text(given.get("assigner"), maker):
            made["identifier"][0]["system"] = uri(assigner)
            made["identifier"][0]["assigner"] = {"display": assigner}
    if "name" not in made and "identifier" not in made:
        return None
    name = made.setdefault("name", [{}])[0]
    if "family" not in name:
        name["_family"] = datatypes.absent("unknown")
    return made


def role(given: Json, maker: Maker) -> Json | None:
    """US Core PractitionerRole: somebody in a role (ROL, PRT); an address is the person's."""
    made = resource("Role", given, maker)
    person = given.get("person")
    if person and (address := given.get("address")):
        person = {**person, "address": address}
    if reference := maker.refer("Practitioner", person):
        made["practitioner"] = {"reference": reference}
    if "practitioner" not in made and "organization" not in made:
        return None
    return _reachable(made)


def take_part(given: Json, role: str, maker: Maker) -> None:
    """Primary care is the patient's (generalPractitioner); any other role is one in the visit."""
    codings = (given.get("role") or {}).get("coding") or [{}]
    if codings[0].get("code") in _PRIMARY_CARE:
        patient = maker.resource(maker.patient)
        found = patient.get("generalPractitioner", [])
        patient["generalPractitioner"] = [*found, {"reference": role}]
    elif maker.visit:
        made: Json = {"individual": {"reference": role}}
        if kind := datatypes.translated("provider_role", given.get("role"), maker):
            made["type"] = [kind]
        if period := build("Stay", given, maker):
            made["period"] = period
        visit = maker.resource(maker.visit)
        visit["participant"] = [*visit.get("participant", []), made]


def ordering_role(given: Json, maker: Maker) -> Json | None:
    """US Core PractitionerRole: who ordered, and for which facility (ORC-12, ORC-21)."""
    made = resource("OrderingRole", given, maker)
    return _reachable(made) if {"practitioner", "organization"} <= made.keys() else None


def _reachable(made: Json) -> Json:
    """Invariant pd-1 of US Core: a telecom or an endpoint.

    A telecom that is not known would need a system, which has no code for that.
    """
    if "telecom" not in made:
        made["endpoint"] = [_UNKNOWN]
    return made


def organization(given: Json, maker: Maker) -> Json | None:
    """US Core Organization (XON, HD)."""
    return _organized("Organization", given, maker)


def payor(given: Json, maker: Maker) -> Json | None:
    """The insurer (IN1-3 to IN1-7)."""
    return _organized("Payor", given, maker)


def policy_holder(given: Json, maker: Maker) -> Json | None:
    """The employer or group that holds a policy (IN1-10, IN1-11)."""
    return _organized("PolicyHolder", given, maker)


def _organized(struct: str, given: Json, maker: Maker) -> Json | None:
    made = resource(struct, given, maker)
    if "name" not in made and "identifier" not in made:
        return None
    made["active"] = True
    if "name" not in made:
        made["_name"] = datatypes.absent("unknown")
    return made


def location(given: Json, maker: Maker) -> Json | None:
    """US Core Location: the place, named from its building down to the bed."""
    said = {key: text for _, key in _PLACES if (text := datatypes.text(given.get(key), maker))}
    name = ", ".join(f"{word}{said[key]}" for word, key in _PLACES if key in said)
    made = resource("Location", given, maker)
    name = name or made.get("description", "")
    if not name:
        return None
    made["status"], made["mode"], made["name"] = "active", "instance", name
    for key, code in _PARTS:
        if key in said:
            made["physicalType"] = {"coding": [{"system": _PHYSICAL, "code": code}]}
            break
    return made
