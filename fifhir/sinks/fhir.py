"""The `fhir` action: the event as one transaction to a FHIR R4 server."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fifhir.errors import DeliveryError
from fifhir.fhir.answer import confirm, refused
from fifhir.fhir.bundle import Strategy, to_bundle
from fifhir.fhir.vocabulary import Json
from fifhir.parcel import Parcel
from fifhir.schema import Faults
from fifhir.sinks import http
from fifhir.sinks.http import HttpConfig, Web

_JSON = "application/fhir+json"
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

    def faults(self) -> Faults:
        yield from super().faults()
        if wrong := http.url_fault(self.endpoint):
            yield ("endpoint",), wrong
        elif "{{" in self.endpoint or "?" in self.endpoint:
            yield ("endpoint",), "expected a base URL without templates and query"


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

    async def deliver(self, parcel: Parcel) -> None:
        """The server says that every entry of the bundle was carried out."""
        bundle = self._bundle(parcel)
        body = msgspec.json.encode(bundle)
        headers = self._headers | {"traceparent": parcel.traceparent}
        answer = await self._web.call_as(
            *(self._config, "POST", self._url, body, headers), keep=http.KEPT
        )
        if refusal := http.refused(answer, self._statuses):
            text = f"{refusal}{refused(answer.status, answer.body, bundle)}"
            raise DeliveryError(
                *(refusal.kind, text), retryable=refusal.retryable, retry_after=refusal.retry_after
            )
        confirm(answer.body, bundle)

    async def close(self) -> None:
        """The connections are the worker's, not the action's."""

    def _bundle(self, parcel: Parcel) -> Json:
        try:
            return to_bundle(parcel.written.document, self._strategy).bundle
        except ValueError as fault:
            text = f"an event of type {parcel.written.type} has nothing FHIR could be told"
            raise DeliveryError("client_error", text) from fault
