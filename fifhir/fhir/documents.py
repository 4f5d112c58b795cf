"""Documents: DocumentReference of an MDM (TXA and its OBX)."""

from typing import Any

from fifhir.fhir import datatypes, observations
from fifhir.fhir.maker import Maker
from fifhir.fhir.mapping import resource
from fifhir.fhir.vocabulary import CORE, Json

_CATEGORY = {
    "system": f"{CORE}documentreference-category".replace("StructureDefinition", "CodeSystem"),
    "code": "clinical-note",
}
_STATUS = {"document_cancelled": "entered-in-error"}
_LOINC = "http://loinc.org"
_NO_TYPE = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
    "code": "UNK",
    "display": "unknown",
}
_OBSOLETE = frozenset({"CA", "OB", "UN"})  # HL70273: TXA-19
_RELATES = {"document_replacement": "replaces", "document_addendum": "appends"}


def document_reference(given: Json, maker: Maker) -> Json:
    """US Core DocumentReference: a document and where it is."""
    made = resource("DocumentReference", given, maker)
    made["status"] = _status(given)
    made["type"] = _typed(made.get("type", {}))
    made["category"] = [{"coding": [_CATEGORY]}]
    parts = [_attachment(each, given, maker) for each in given.get("parts") or ()]
    contents = [{"attachment": each} for each in parts if each]
    made["content"] = contents or [{"attachment": {}}]
    for each in made["content"]:
        if not each["attachment"].keys() & {"data", "url"}:  # us-core-6
            each["attachment"]["_url"] = datatypes.absent("unknown")
    comments = [note for each in given.get("parts") or () for note in each.get("notes") or ()]
    if said := datatypes.narrative(comments, maker):
        made["text"] = said
    _placed(made, given, maker)
    return made


def _typed(concept: Json) -> Json:
    """US Core takes a type of LOINC, or says that there is none."""
    codings = concept.get("coding", [])
    if any(each.get("system") == _LOINC for each in codings):
        return concept
    return {**concept, "coding": [*codings, _NO_TYPE]}


def _status(given: Json) -> str:
    """What happened, else TXA-19 decides whether it is the one to read."""
    said = "superseded" if given.get("availability_status") in _OBSOLETE else "current"
    return _STATUS.get(str(given.get("type")), said)


def _placed(made: Json, given: Json, maker: Maker) -> None:
    """Its visit, the orders it is about, and the document it replaces or adds to."""
    context: Json = {}
    if maker.visit:
        context["encounter"] = [{"reference": maker.visit}]
    numbers = [given.get(f"{who}_order_number") for who in ("placer", "filler")]
    if found := [str(number) for number in dict.fromkeys(numbers) if number]:
        context["related"] = [
            {"type": "ServiceRequest", "identifier": {"system": maker.authority, "value": number}}
            for number in found
        ]
    if context:
        made["context"] = context
    code, parent = _RELATES.get(str(given.get("type"))), given.get("parent_document_number")
    if code and parent:
        identifier = {"system": maker.authority, "value": parent}
        target = {"type": "DocumentReference", "identifier": identifier}
        made["relatesTo"] = [{"code": code, "target": target}]


def _attachment(part: Json, given: Json, maker: Maker) -> Json | None:
    """What an OBX holds: a document as sent, or its text."""
    content = part.get("content")
    if not isinstance(content, str) or not content.strip():
        return None
    made: Json = {}
    if part.get("value_type") in {"ED", "RP"}:
        kind, _, subtype = str(part.get("content_type") or "").partition("/")
        encoding = part.get("content_encoding")
        said = {"content_type": kind, "subtype": subtype, "data": content, "encoding": encoding}
        made = observations.attachment(said | {"pointer": content}) or {}
    if not made:
        made = {"contentType": "text/plain", "data": datatypes.encoded(content)}
    if "contentType" not in made and (media := _media(part.get("content_type"))):
        made["contentType"] = media
    if title := datatypes.text(given.get("title"), maker):
        made["title"] = title
    if created := datatypes.when(part.get("observation_time"), maker):
        made["creation"] = created
    return made


def _media(kind: Any) -> str | None:
    known = {"pdf": "application/pdf", "rtf": "text/rtf", "html": "text/html", "xml": "text/xml"}
    return known.get(str(kind or "").lower())
