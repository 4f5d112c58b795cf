"""The `fhir` action: the event as one transaction to a FHIR R4 server."""

from importlib.util import find_spec
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fifhir.errors import DeliveryError
from fifhir.fhir.answer import confirm, refused
from fifhir.fhir.bundle import Strategy, to_bundle
from fifhir.fhir.parts import alone, only
from fifhir.fhir.validate import bindings, check, codes, structure, us_core
from fifhir.fhir.vocabulary import KINDS, Json
from fifhir.parcel import Parcel
from fifhir.schema import Faults
from fifhir.sinks import http
from fifhir.sinks.http import Answer, HttpConfig, Web

_JSON = "application/fhir+json"
_TOLD = 5  # places of what is not valid
_CONFLICT = 409  # another transaction was quicker; the same bundle may do the next time
STRATEGIES: dict[str, Strategy] = {
    "create": "conditional_create",
    "update": "conditional_update",
    "upsert": "put",
}


class FhirConfig(
    HttpConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="fhir"
):
    """Send the event to a FHIR R4 server as a transaction, which happens as a whole or not at all.

    The same event makes the same transaction, so a repeat changes nothing: ids are made of what
    identifies a thing outside, and whatever has no such id is created under a condition.
    """

    endpoint: Annotated[
        str, Meta(max_length=2048, description="The server's base URL, as in https://fhir/r4.")
    ]
    operation: Annotated[
        Literal["create", "update", "upsert"],
        Meta(
            description="create: what is there stays (If-None-Exist); update: it is replaced where "
            "its identifier is found; upsert: it is put under an id made of its identifier."
        ),
    ] = "create"
    resource: Annotated[
        str,
        Meta(
            max_length=1024,
            description="Kinds of resources to send, with commas; what they refer to goes along. "
            "Empty: all.",
        ),
    ] = ""
    bundle: Annotated[
        bool,
        Meta(
            description="Whether all of it is one transaction; else each resource is put by "
            "itself, for servers without transactions. That needs operation upsert."
        ),
    ] = True
    validate_fhir: Annotated[
        bool,
        Meta(
            description="Whether what breaks a rule of R4, or of validate_mode, becomes a dead "
            "letter here and is not sent. Needs pip install 'fifhir[fhir]'."
        ),
    ] = False
    validate_mode: Annotated[
        Literal["us-core", "none"],
        Meta(description="Whether validate_fhir asks for US Core 6.1.0 as well."),
    ] = "us-core"

    def kinds(self) -> frozenset[str]:
        """The kinds of resources to send; none if all are."""
        return frozenset(filter(None, (each.strip() for each in self.resource.split(","))))

    def faults(self) -> Faults:
        yield from super().faults()
        if wrong := http.url_fault(self.endpoint):
            yield ("endpoint",), wrong
        elif "{{" in self.endpoint or "?" in self.endpoint:
            yield ("endpoint",), "expected a base URL without templates and query"
        if unknown := self.kinds() - {kind.resource for kind in KINDS.values()}:
            yield ("resource",), f"no event becomes {', '.join(sorted(unknown))}"
        if not self.bundle and self.operation != "upsert":
            yield ("bundle",), "without a bundle ids have to be ours: operation upsert"
        if self.validate_fhir and find_spec("fhirkit") is None:
            yield ("validate_fhir",), "needs an extra: pip install 'fifhir[fhir]'"


def headers(config: FhirConfig) -> dict[str, str]:
    """What every request to the server says of itself."""
    return {"Content-Type": _JSON, "Accept": _JSON, "User-Agent": config.user_agent}


class FhirSink:
    """Carries out one `fhir` action of one route."""

    idempotent = True

    def __init__(self, config: FhirConfig, web: Web) -> None:
        self.destination = http.destination(config.endpoint)
        self._config = config
        self._web = web
        self._url = config.endpoint.rstrip("/")
        self._strategy = STRATEGIES[config.operation]
        self._statuses = config.statuses() | {_CONFLICT}
        self._headers = headers(config) | {"Prefer": "return=minimal"}
        self._kinds = config.kinds()
        self._rules = us_core() if config.validate_mode == "us-core" else ()
        self._bindings = bindings() if config.validate_fhir else {}

    async def deliver(self, parcel: Parcel) -> None:
        """The server says that every entry of the bundle was carried out."""
        bundle = self._bundle(parcel)
        if self._config.validate_fhir:
            self._judge(bundle)
        if self._config.bundle:
            confirm((await self._send("POST", self._url, bundle, bundle, parcel)).body, bundle)
            return
        for entry in alone(bundle):
            url = f"{self._url}/{entry['request']['url']}"
            await self._send("PUT", url, entry["resource"], {"entry": [entry]}, parcel)

    async def _send(
        self, method: str, url: str, sent: Json, bundle: Json, parcel: Parcel
    ) -> Answer:
        """The answer that is no refusal; `bundle` says what an error of an entry is about."""
        body = msgspec.json.encode(sent)
        headers = self._headers | {"traceparent": parcel.traceparent}
        answer = await self._web.call_as(
            *(self._config, method, url, body, headers), keep=http.KEPT
        )
        if refusal := http.refused(answer, self._statuses):
            what = "" if self._config.bundle else f" for a {sent['resourceType']}"
            text = f"{refusal}{what}{refused(answer.status, answer.body, bundle)}"
            raise DeliveryError(
                *(refusal.kind, text), retryable=refusal.retryable, retry_after=refusal.retry_after
            )
        return answer

    def _judge(self, bundle: Json) -> None:
        """Nothing in it breaks a rule; DeliveryError names the places that do, not their values."""
        found = [
            finding.expression[0]
            for each in bundle["entry"]
            for finding in (
                *structure(each["resource"]),
                *codes(each["resource"], self._bindings),
                *check(each["resource"], self._rules),
            )
            if finding.severity == "error"
        ]
        if found:
            told = ", ".join(dict.fromkeys(found[:_TOLD]))
            raise DeliveryError("client_error", f"not valid FHIR, so not sent: {told}")

    async def close(self) -> None:
        """The connections are the worker's, not the action's."""

    def _bundle(self, parcel: Parcel) -> Json:
        try:
            bundle = to_bundle(parcel.written.document, self._strategy).bundle
            return only(bundle, self._kinds) if self._kinds else bundle
        except ValueError as fault:
            text = f"an event of type {parcel.written.type} has nothing FHIR could be told"
            raise DeliveryError("client_error", text) from fault
