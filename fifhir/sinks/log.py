"""The `log` action: one line a event, with what its author's template says and no more of it."""

from typing import Annotated

from msgspec import Meta, Struct

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.logs import Level, Write
from fifhir.parcel import Parcel


class LogConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="log"
):
    """Write one line to the daemon's log for every event that takes this route."""

    level: Annotated[
        Level,
        Meta(description="Level of the line; below the daemon's log_level it is not written."),
    ] = "info"
    message: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1000,
            description="Text of the line, a template; a log is no place for what identifies a "
            "patient.",
            extra={"template": "none"},
        ),
    ] = "Event processed"


class LogSink:
    """Carries out one `log` action of one route."""

    destination = ""
    idempotent = True

    def __init__(self, config: LogConfig, route: str, write: Write) -> None:
        self._config = config
        self._message = template.compile(config.message)
        self._route = route
        self._write = write

    async def deliver(self, parcel: Parcel) -> None:
        """The line is written. It names the event by id, type and source; the rest is the text."""
        try:
            message = self._message.render(parcel.written.document)
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from None
        self._write(
            self._config.level,
            message,
            event_type=parcel.written.type,
            source=parcel.written.source,
            route=self._route,
            event_id=parcel.written.id,
            trace_id=parcel.written.trace.trace_id,
            span_id=parcel.span_id,
        )

    async def close(self) -> None:
        """There is nothing to close."""
