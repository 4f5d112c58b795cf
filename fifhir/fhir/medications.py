"""Drugs: asked for, to be given, handed out, given (HL7 v2 chapter 4A).

The guide has a map for RXO alone; RXE (whose words come before those of the RXO), RXD, RXG and RXA
are read by the same rules: a drug that has a form, a strength or parts is a Medication of its own,
else a code.
"""

from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import build, resource
from fifhir.fhir.orders import timing_of
from fifhir.fhir.vocabulary import MAPS, Json

_REQUEST = {  # request-status (HL70038, HL70119) as medicationrequest-status has it
    **{status: status for status in ("active", "on-hold", "completed", "entered-in-error")},
    "draft": "draft",
    "revoked": "cancelled",
}
_ORDERED = frozenset({"OMP", "ORM"})  # as it was ordered (RXO), not as a pharmacy encoded it (RXE)
_DISCONTINUED = frozenset({"DC", "OD", "DR"})
_GIVEN = {"CP": "completed", "PA": "completed", "RE": "not-done", "NA": "not-done"}  # HL70322
_ORAL_DAY: Json = {"value": 1, "unit": "day", "system": datatypes.UCUM_SYSTEM, "code": "d"}


def medication_request(given: Json, maker: Maker) -> Json:
    """US Core MedicationRequest: a drug or treatment that was asked for (RXO, RXE)."""
    made = resource("MedicationRequest", given, maker)
    made["status"] = _status(given, maker)
    kind = (maker.event.get("header") or {}).get("message_type")
    made["intent"] = "original-order" if kind in _ORDERED else "order"
    drug = given.get("medication") or {}
    said = {
        "medication": drug.get("concept") or _coded(drug),
        "dosage_form": given.get("dosage_form"),
        "strength": drug.get("strength"),
        "components": given.get("components"),
    }
    _drug(made, said, maker)
    _reasons(made, given, maker)
    if dosage := dosage_of(given, maker):
        made["dosageInstruction"] = [dosage]
    pharmacy = given.get("dispensing_pharmacy")
    if pharmacy and (name := _name(pharmacy)):
        reference = maker.refer("Organization", {"name": name})
        made.setdefault("dispenseRequest", {})["performer"] = {"reference": reference}
    if "substitution" in made and "allowedCodeableConcept" not in made["substitution"]:
        del made["substitution"]
    made.setdefault("requester", datatypes.absent("unknown"))  # us-core-21
    return made


def _coded(drug: Json) -> Json:
    code = {key: drug[key] for key in ("code", "display") if drug.get(key)}
    text = drug.get("name") or ""
    return {"coding": [code] if code else [], "text": text}


def _name(concept: Json) -> str:
    code = (concept.get("coding") or [{}])[0]
    return str(concept.get("text") or code.get("display") or code.get("code") or "")


def _status(given: Json, maker: Maker) -> str:
    """ORC-5, else what the control code (ORC-1) means; a discontinued order is stopped."""
    if given.get("control") in _DISCONTINUED:
        return "stopped"
    found = datatypes.mapped("order_status", given.get("order_status"), maker)
    found = found or MAPS["order_control"].get(str(given.get("control") or ""))
    return _REQUEST.get(found.code if found else "", "unknown")


def _reasons(made: Json, given: Json, maker: Maker) -> None:
    """ORC-16 says why, where the indications do not."""
    text = datatypes.text(given.get("reason_text") or given.get("reason_code"), maker)
    if "reasonCode" not in made and text:
        made["reasonCode"] = [{"text": text}]


def _drug(made: Json, given: Json, maker: Maker) -> None:
    """medication[x]: a code, or a Medication where more is known of the drug."""
    if any(given.get(key) for key in ("dosage_form", "strength", "components", "lot_number")):
        reference = maker.refer("Medication", given, str(len(maker.entries)))
        made["medicationReference"] = {"reference": reference}
        return
    concept = datatypes.codeable(given.get("medication"), maker)
    made["medicationCodeableConcept"] = concept or datatypes.absent_concept("unknown")


def medication(given: Json, maker: Maker) -> Json:
    """US Core Medication: a drug of a form and strength, or mixed of several."""
    made = resource("Medication", given, maker)
    if "code" not in made:
        made["code"] = datatypes.absent_concept("unknown")
    parts = [part for each in given.get("components") or () if (part := _part(each, maker))]
    strength = datatypes.quantity(given.get("strength"), given.get("strength_units"), maker)
    if strength and not parts:
        parts = [{"itemCodeableConcept": made["code"], "strength": {"numerator": strength}}]
        parts[0]["strength"]["denominator"] = {"value": 1}
    elif text := datatypes.text(given.get("strength"), maker):
        made["code"] = {**made["code"], "text": f"{made['code'].get('text', '')} {text}".strip()}
    if parts:
        made["ingredient"] = parts
    return made


def _part(given: Json, maker: Maker) -> Json | None:
    """RXC: a base or an additive."""
    item = datatypes.codeable(given.get("component"), maker)
    if item is None:
        return None
    made: Json = {"itemCodeableConcept": item}
    if amount := datatypes.quantity(given.get("amount"), given.get("units"), maker):
        made["strength"] = {"numerator": amount, "denominator": {"value": 1}}
    return made


def dosage_of(given: Json, maker: Maker) -> Json:
    """Dosage: what RXO or RXE say, and the first RXR and TQ1 beside them."""
    made = build("Dosage", given, maker)
    if route := next(iter(given.get("routes") or ()), None):
        made |= build("Route", route, maker)
    unit = given.get("dose_unit_code") or given.get("dose_unit")
    if dose := _dose(given.get("dose_quantity"), given.get("dose_maximum"), unit, maker):
        made["doseAndRate"] = [dose]
    if daily := datatypes.quantity(given.get("daily_dose"), None, maker):
        made["maxDosePerPeriod"] = {"numerator": daily, "denominator": _ORAL_DAY}
    _timed(made, given, maker)
    return {key: value for key, value in made.items() if value}


def _dose(least: Any, most: Any, unit: Any, maker: Maker) -> Json | None:
    low, high = datatypes.quantity(least, unit, maker), datatypes.quantity(most, unit, maker)
    if low and high and low["value"] <= high["value"]:
        return {"doseRange": {"low": low, "high": high}}
    return {"doseQuantity": low or high} if low or high else None


def _timed(made: Json, given: Json, maker: Maker) -> None:
    timing = next(iter(given.get("timings") or ()), None) or {
        key: given[key] for key in ("frequency", "start_time", "end_time") if given.get(key)
    }
    if found := build("Timing", timing, maker):
        made["timing"] = timing_of(found)
    more = [datatypes.spoken(timing.get(key), maker) for key in ("condition", "instruction")]
    if said := [each for each in more if each]:
        made["additionalInstruction"] = made.get("additionalInstruction", []) + said
    quantity = datatypes.quantity(timing.get("quantity"), timing.get("quantity_units"), maker)
    if quantity and "doseAndRate" not in made:
        made["doseAndRate"] = [{"doseQuantity": quantity}]


def give(given: Json, maker: Maker) -> Json:
    """A dose that is to be given (RXG): an instance of its order."""
    made = resource("Give", given, maker)
    made["status"], made["intent"] = "active", "instance-order"
    made.setdefault("requester", datatypes.absent("unknown"))  # us-core-21
    _drug(made, given, maker)
    dosage = dosage_of(
        {
            **given,
            "dosage_instruction": given.get("timing_text"),
            "dose_quantity": given.get("amount"),
            "dose_maximum": given.get("maximum"),
            "dose_unit": given.get("unit"),
        },
        maker,
    )
    if dosage:
        made["dosageInstruction"] = [dosage]
    return made


def dispense(given: Json, maker: Maker) -> Json:
    """US Core MedicationDispense: a drug that was handed out (RXD)."""
    made = resource("MedicationDispense", given, maker)
    made["status"] = "completed"
    _drug(made, given, maker)
    if reference := maker.refer("Practitioner", given.get("dispenser")):
        made["performer"] = [{"actor": {"reference": reference}}]
    if number := given.get("placer_order_number") or given.get("filler_order_number"):
        identifier = {"system": maker.authority, "value": number}
        made["authorizingPrescription"] = [{"type": "MedicationRequest", "identifier": identifier}]
    if dosage := dosage_of({**given, "notes": None}, maker):
        made["dosageInstruction"] = [dosage]
    return made


def administration(given: Json, maker: Maker) -> Json:
    """MedicationAdministration: a dose that was given, or was not (RXA)."""
    made = resource("MedicationAdministration", given, maker)
    made["status"] = _GIVEN.get(str(given.get("completion_status") or "CP"), "unknown")
    if "statusReason" in made:
        made["status"] = "not-done"
    if given.get("action") == "D":
        made["status"] = "entered-in-error"
    _drug(made, given, maker)
    if "effectivePeriod" not in made:
        made["_effectiveDateTime"] = datatypes.absent("unknown")
    elif "end" not in made["effectivePeriod"]:
        made["effectiveDateTime"] = made.pop("effectivePeriod")["start"]
    if route := next(iter(given.get("routes") or ()), None):
        way = build("Route", route, maker)
        way.pop("additionalInstruction", None)
        made["dosage"] = {**way, **made.get("dosage", {})}
    if "dosage" in made and "dose" not in made["dosage"]:  # mad-1: a dose or a rate
        text = ", ".join(str(each.get("text") or "") for each in made.pop("dosage").values())
        made["note"] = made.get("note", []) + ([{"text": text}] if text.strip(", ") else [])
        if not made["note"]:
            del made["note"]
    return made
