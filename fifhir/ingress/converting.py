"""POST /api/v1/parse?as=fhir: messages in, transaction bundles of FHIR R4 out, nothing kept.

The answer is `{"bundles": [...], "issues": [...], "errors": [...]}`: a bundle for each message that
has one, codes that FHIR has no place for, and what went wrong, each with the message's index.
"""

from typing import Any

import msgspec
from msgspec import Struct

from fifhir import intake
from fifhir.errors import MessageError
from fifhir.event import encode
from fifhir.fhir.bundle import to_bundle
from fifhir.ingress.answers import OK_JSON
from fifhir.ingress.exchange import Response
from fifhir.ingress.messages import Broken, broken, unreadable, walk
from fifhir.intake import Feed

_to_json = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Open(Struct, frozen=True, omit_defaults=True):
    """Something of message `index` that FHIR could not be told."""

    index: int
    code: str
    text: str
    resource: str = ""


async def convert(body: bytes, feed: Feed) -> Response:
    """The bundles of all messages; a Problem if there is none."""
    bundles: list[dict[str, Any]] = []
    issues: list[Open] = []
    faults: list[Broken] = []
    index, any_hl7 = 0, False
    async for raw in walk(body, []):
        any_hl7 = any_hl7 or raw.startswith(b"MSH")
        try:
            made = to_bundle(_decode(encode(intake.read(raw, feed))))
        except MessageError as fault:
            faults.append(broken(index, fault))
        except ValueError as fault:
            issues.append(Open(index, "no_mapping", str(fault)))
        else:
            bundles.append(made.bundle)
            issues += [Open(index, each.code, each.text, each.resource) for each in made.issues]
        index += 1
    if not bundles and not issues:
        raise unreadable(faults, any_hl7=any_hl7)
    told: dict[str, Any] = {"bundles": bundles}
    told |= {"issues": issues} if issues else {}
    return Response(200, OK_JSON, _to_json(told | ({"errors": faults} if faults else {})))
