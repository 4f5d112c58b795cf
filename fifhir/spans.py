"""Spans for an OpenTelemetry collector (OTLP over HTTP), with the extra `otel`.

A span is made after the fact, out of times that were taken anyway. Its ids are those of
`tracing.Trace`, so that what destinations are told and what the log says leads to it. It holds
names and numbers, and never what is in a message.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from fifhir.errors import ConfigError, Finding
from fifhir.parcel import span_id
from fifhir.tracing import Trace
from fifhir.workflow.outcome import ActionResult, Outcome
from fifhir.written import Written

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

WAITING = 4096  # spans; what comes while so many wait is dropped and counted
PAUSE = 1.0  # seconds between two calls of the collector
TIMEOUT = 5.0  # seconds one call may take

Kind: TypeAlias = Literal["internal", "server", "client", "consumer"]
Attributes: TypeAlias = Mapping[str, str | bool | int | float]


def missing() -> str:
    """What has to be installed for spans; empty if nothing."""
    try:
        import opentelemetry.exporter.otlp.proto.http  # noqa: F401, PLC0415 - only who wants it
    except ImportError:
        return "spans need the extra otel: pip install 'fifhir[otel]'"
    return ""


class Spans:
    """The spans of one worker, sent to `endpoint` a batch at a time.

    `share` of the traces that begin here are told; what others have begun is as they decided.
    """

    def __init__(self, endpoint: str, share: float, version: str) -> None:
        if wrong := missing():
            raise ConfigError((Finding("observability.tracing_enabled", wrong),))
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - it takes 200 ms

        self.lost = 0
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT)
        self._resource = Resource.create({"service.name": "fi-fhir", "service.version": version})
        self._below = int(share * 2**64)
        self._waiting: deque[ReadableSpan] = deque()
        self._since = time.time_ns() - time.perf_counter_ns()

    def ran(self, written: Written, outcome: Outcome, times: tuple[float, float, float]) -> None:
        """The spans of an event that went through the workflow."""
        trace, (began, found, ended) = written.trace, times
        if not self._is_told(trace):
            return
        workflow = trace.child(3)
        told: Attributes = {
            "fifhir.event.type": written.type,
            "fifhir.event.id": written.id,
            "fifhir.source": written.source,
            "fifhir.routes.matched": len(outcome.routes_matched),
        }
        failed = "" if outcome.success else "an action failed and was not kept"
        own = (began, ended)
        self.add("workflow", trace, workflow, trace.span_id, own, attributes=told, failed=failed)
        self.add("route", trace, trace.child(4), workflow, (began, found))
        for each in outcome.actions:
            self._add_action(written, each, workflow)

    def _add_action(self, written: Written, result: ActionResult, parent: str) -> None:
        own = span_id(written, result.route, result.index)
        told: dict[str, str | bool | int | float] = {
            "fifhir.route": result.route,
            "fifhir.action": result.action,
            "fifhir.outcome": result.status,
        }
        if result.error_type:
            told["error.type"] = result.error_type
        times = result.began, result.began + result.duration_ms / 1000
        self.add(
            *(f"deliver {result.action}", written.trace, own, parent, times),
            kind="client",
            attributes=told,
            failed=result.error,
        )

    def add(  # noqa: PLR0913 - a span has that many parts
        self,
        name: str,
        trace: Trace,
        span: str,
        parent: str,
        times: tuple[float, float],
        *,
        kind: Kind = "internal",
        attributes: Attributes | None = None,
        failed: str = "",
        link: str = "",
    ) -> None:
        """One span is on its way; `times` are its begin and end by `time.perf_counter`.

        `link` is the id of an earlier span of the same trace that this one takes up again.
        """
        if not self._is_told(trace):
            return
        if len(self._waiting) >= WAITING:
            self.lost += 1
            return
        from opentelemetry import trace as api  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415

        def context(id_: str) -> "api.SpanContext":
            flags = api.TraceFlags(api.TraceFlags.SAMPLED)
            return api.SpanContext(int(trace.trace_id, 16), int(id_, 16), id_ != span, flags)

        begin, end = (self._since + int(each * 1e9) for each in times)
        self._waiting.append(
            ReadableSpan(
                name,
                context=context(span),
                parent=context(parent) if parent else None,
                resource=self._resource,
                attributes=attributes or {},
                links=[api.Link(context(link))] if link else (),
                kind=api.SpanKind[kind.upper()],
                status=Status(StatusCode.ERROR, failed) if failed else Status(StatusCode.UNSET),
                start_time=begin,
                end_time=max(begin, end),
            )
        )

    async def run(self) -> None:
        """Send what waits, each `PAUSE`, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE)
            await self.flush()

    async def flush(self) -> None:
        """What waited was sent, or is lost and counted. It takes `TIMEOUT` seconds at most."""
        batch = tuple(self._waiting)
        self._waiting.clear()
        self._since = time.time_ns() - time.perf_counter_ns()  # the clock on the wall may be set
        if batch and not await asyncio.get_running_loop().run_in_executor(None, self._send, batch):
            self.lost += len(batch)

    def _send(self, batch: "Sequence[ReadableSpan]") -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - as above

        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # whatever a collector does, messages go on
            return False

    def _is_told(self, trace: Trace) -> bool:
        if trace.sampled is not None:
            return trace.sampled
        return int(trace.trace_id[16:], 16) < self._below
