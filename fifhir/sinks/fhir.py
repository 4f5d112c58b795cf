"""The `fhir` action: the event as one transaction to a FHIR R4 server."""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fifhir.errors import DeliveryError
from fifhir.fhir.bundle import Strategy, to_bundle
from fifhir.parcel import Parcel
from fifhir.schema import Faults
from fifhir.sinks import http
from fifhir.sinks.http import Answer, HttpConfig, Web

_JSON = "application/fhir+json"
_CODE = re.compile(r"[a-z-]{1,40}")  # of an issue (IssueType); nothing else of an answer is told
_CODES_TOLD = 5
_STRATEGIES: dict[str, Strategy] = {
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


class FhirSink:
    """Carries out one `fhir` action of one route."""

    idempotent = True

    def __init__(self, config: FhirConfig, web: Web) -> None:
        self.destination = http.destination(config.endpoint)
        self._config = config
        self._web = web
        self._url = config.endpoint.rstrip("/")
        self._strategy = _STRATEGIES[config.operation]
        self._statuses = config.statuses()
        self._headers = {
            "Content-Type": _JSON,
            "Accept": _JSON,
            "Prefer": "return=minimal",
            "User-Agent": config.user_agent,
        }

    async def deliver(self, parcel: Parcel) -> None:
        """The server says that every entry of the transaction was carried out."""
        body = self._bundle(parcel)
        answer = await self._web.call_as(
            *(self._config, "POST", self._url, body, self._headers), keep=http.KEPT
        )
        if refusal := http.refused(answer, self._statuses):
            text = f"{refusal}{_codes(answer)}"
            raise DeliveryError(
                *(refusal.kind, text), retryable=refusal.retryable, retry_after=refusal.retry_after
            )
        _confirm(answer)

    async def close(self) -> None:
        """The connections are the worker's, not the action's."""

    def _bundle(self, parcel: Parcel) -> bytes:
        try:
            return msgspec.json.encode(to_bundle(parcel.written.document, self._strategy).bundle)
        except ValueError as fault:
            text = f"an event of type {parcel.written.type} has nothing FHIR could be told"
            raise DeliveryError("client_error", text) from fault


def _confirm(answer: Answer) -> None:
    """A 200 may hold failures, or be a proxy's page: only a transaction's response confirms."""
    document = _document(answer)
    if document.get("resourceType") != "Bundle" or document.get("type") != "transaction-response":
        raise DeliveryError("ambiguous", "the answer is no transaction-response", retryable=True)
    for entry in document.get("entry") or ():
        response = entry.get("response") if isinstance(entry, dict) else None
        status = str(response.get("status")) if isinstance(response, dict) else ""
        if not status.startswith("2"):
            raise DeliveryError("client_error", "an entry of the transaction was not carried out")


def _codes(answer: Answer) -> str:
    """The codes of the issues that an OperationOutcome tells; never its texts."""
    issues = _document(answer).get("issue")
    listed = issues if isinstance(issues, list) else []
    told = [str(each.get("code")) for each in listed if isinstance(each, dict)]
    known = list(dict.fromkeys(code for code in told if _CODE.fullmatch(code)))
    return f" ({', '.join(known[:_CODES_TOLD])})" if known else ""


def _document(answer: Answer) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
