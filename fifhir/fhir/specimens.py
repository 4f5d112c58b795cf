"""What was examined: Specimen, of SPM or of what an OBR says in its place."""

from collections.abc import Iterator
from typing import Any

from fifhir.fhir import datatypes
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import resource
from fifhir.fhir.vocabulary import Json, is_listed

_OF_SPECIMEN = ("specimen_source", "collectors", "collection_volume", "specimen_received_time")


def of_order(
    order: Json, given: list[Json], identity: tuple[str, ...], maker: Maker
) -> Iterator[Json]:
    """Each SPM; without one what OBR-15 and its neighbours say."""
    for at, each in enumerate(given):
        place = str(each.get("id") or each.get("set_id") or at)
        reference = maker.write("Specimen", each, (*identity, place))
        yield {"reference": reference}
        for number, observed in enumerate(each.get("observations") or ()):
            found = maker.write("LabObservation", observed, (*identity, place, str(number)))
            maker.resource(found)["specimen"] = {"reference": reference}
    if not given and any(order.get(key) for key in _OF_SPECIMEN):
        yield {"reference": maker.write("ObrSpecimen", order, identity)}


def specimen(given: Json, maker: Maker) -> Json:
    """US Core Specimen: what was examined (SPM)."""
    made = resource("Specimen", given, maker)
    if not made.get("identifier") and given.get("id"):
        made["identifier"] = [{"value": given["id"]}]
    if "type" not in made:
        made["type"] = datatypes.absent_concept("unknown")
    _collected(made, given.get("collected_datetime"), given.get("collected_end"), maker)
    if container := _container(given, maker):
        made["container"] = [container]
    return made


def _container(given: Json, maker: Maker) -> Json:
    made: Json = {}
    if kind := datatypes.codeable(given.get("container_type"), maker):
        made["type"] = kind
    additive = next(iter(given.get("additives") or ()), None)
    if said := datatypes.translated("specimen_additive", additive, maker):
        made["additiveCodeableConcept"] = said
    return made


def obr_specimen(given: Json, maker: Maker) -> Json:
    """What OBR-15 says of a specimen: source^additives^method^body site (SPS)."""
    made = resource("ObrSpecimen", given, maker)
    parts = [each.split("&") for each in str(given.get("specimen_source") or "").split("^")]
    source, additive, method, site = [*parts, *[[""]] * 4][:4]
    made["type"] = _said(source) or datatypes.absent_concept("unknown")
    if found := _said(additive):
        made["container"] = [{"additiveCodeableConcept": found}]
    if found := _said(method):
        made.setdefault("collection", {})["method"] = found
    if found := _said(site):
        made.setdefault("collection", {})["bodySite"] = found
    _collected(made, given.get("observation_time"), given.get("observation_end_time"), maker)
    return made


def _said(parts: list[str]) -> Json | None:
    code, display, *_ = (*(part.strip() for part in parts), "", "")
    if not code or not is_listed("", code):
        return {"text": display or code} if display or code else None
    coding = {"code": code, **({"display": display} if display else {})}
    return {"coding": [coding], **({"text": display} if display else {})}


def _collected(made: Json, start: Any, end: Any, maker: Maker) -> None:
    first, last = datatypes.when(start, maker), datatypes.when(end, maker)
    if first and last and datatypes.in_order(first, last):
        made.setdefault("collection", {})["collectedPeriod"] = {"start": first, "end": last}
    elif first:
        made.setdefault("collection", {})["collectedDateTime"] = first
    elif last:
        made.setdefault("collection", {})["collectedPeriod"] = {"end": last}
