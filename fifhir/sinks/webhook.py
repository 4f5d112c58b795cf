"""The `webhook` action: the event as JSON to a URL, confirmed by a status from 200 to 299."""

import re
from typing import Annotated, Literal

from msgspec import Meta, field

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.schema import Faults
from fifhir.sinks import http
from fifhir.sinks.http import HttpConfig, Web

_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_STEPS = re.compile(r"/\.{1,2}(?:/|$)")  # which a server takes for a way up
_OURS = frozenset(
    {
        *("content-type", "content-length", "host", "idempotency-key", "authorization"),
        "traceparent",
    }
)


class WebhookConfig(
    HttpConfig,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="webhook",
):
    """Send the event as JSON to a URL; a status from 200 to 299 confirms it.

    `Idempotency-Key` is the same at every try and every replay of a delivery, so that the
    destination can tell a repeat. Redirects are not followed.
    """

    url: Annotated[
        str,
        Meta(
            max_length=2048,
            description="Where to. Path and query may have templates; scheme and host may not.",
            extra={"template": "url"},
        ),
    ]
    method: Annotated[Literal["POST", "PUT", "PATCH"], Meta(description="How it is sent.")] = "POST"
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Further headers; values may have templates.",
            extra={"keys": _HEADER, "template": "header"},
        ),
    ] = field(default_factory=dict)

    def faults(self) -> Faults:
        yield from super().faults()
        if wrong := http.url_fault(self.url):
            yield ("url",), wrong
        for name in self.headers:
            if name.lower() in _OURS:
                yield ("headers", name), f"{name} is set by other keys"


class WebhookSink:
    """Carries out one `webhook` action of one route."""

    idempotent = True

    def __init__(self, config: WebhookConfig, web: Web) -> None:
        self.destination = http.destination(config.url)
        self._config = config
        self._web = web
        self._statuses = config.statuses()
        self._url = template.compile(config.url, "url")
        self._fixed = {"Content-Type": "application/json", "User-Agent": config.user_agent}
        self._headers = [
            (name, template.compile(text, "header")) for name, text in config.headers.items()
        ]

    async def deliver(self, parcel: Parcel) -> None:
        """The destination answered with a status from 200 to 299."""
        try:
            url, headers = self._filled(parcel)
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from fault
        body = parcel.written.json
        answer = await self._web.call_as(self._config, self._config.method, url, body, headers)
        if refusal := http.refused(answer, self._statuses):
            raise refusal

    async def close(self) -> None:
        """The connections are the worker's, not the action's."""

    def _filled(self, parcel: Parcel) -> tuple[str, dict[str, str]]:
        document = parcel.written.document if self._asks else {}
        headers = {name: each.render(document) for name, each in self._headers}
        ours = self._fixed | {"Idempotency-Key": parcel.key, "traceparent": parcel.traceparent}
        url = self._url.render(document)
        if _STEPS.search(url.partition("?")[0]):
            raise DeliveryError("template", "webhook: the event leads to another path")
        return url, headers | ours

    @property
    def _asks(self) -> bool:
        """Whether the document is needed at all."""
        return not (self._url.is_constant and all(each.is_constant for _, each in self._headers))
