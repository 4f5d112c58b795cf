"""POST /api/v1/parse: messages in, events out, nothing kept.

The answer is `{"events": [...], "warnings": [...], "errors": [...], "metadata": {...}}`, warnings
and errors only where there are any. Of a batch with a broken message the others still come out,
and the broken one is told in `errors` with its index: 200 if at least one event came out, 422 if
none did, 400 if nothing in the body even looks like HL7.
"""

from time import perf_counter

import msgspec

from fifhir import intake
from fifhir.errors import MessageError
from fifhir.event import Warning, encode
from fifhir.ingress import bodies
from fifhir.ingress.answers import OK_JSON
from fifhir.ingress.bodies import Feeds
from fifhir.ingress.exchange import Answer, Request, Response
from fifhir.ingress.messages import Broken, broken, is_single, unreadable, walk
from fifhir.intake import Feed
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab

_to_json = msgspec.json.Encoder().encode


class Parser:
    """Answers parse requests."""

    def __init__(self, feeds: Feeds, catalogue: Catalogue, slab: Slab) -> None:
        self._feeds = feeds
        self._slab = slab
        self._errors = catalogue.error("parse")

    def answer(self, request: Request) -> Answer:
        """One message is answered at once; a batch lets other connections have their turns."""
        started = perf_counter()
        if bodies.is_json(request):
            envelope = bodies.open_envelope(request.body)
            body, source = bodies.unwrap(envelope), envelope.source or bodies.DEFAULT_SOURCE
        else:
            body, source = request.body, bodies.raw_source(request)
        feed, name = self._feeds.named(source)
        if is_single(body):
            return self._parse_one(body, feed, name, started)
        return self._parse_many(body, feed, name, started)

    def _parse_one(self, raw: bytes, feed: Feed, name: bytes, started: float) -> Response:
        try:
            event = intake.read(raw, feed)
        except MessageError as fault:
            self._slab.add(self._errors)
            raise unreadable([broken(0, fault)], any_hl7=True) from fault
        told = event.parse_warnings
        warnings = b'"warnings":%b,' % _to_json(told) if told else b""
        return _reply(encode(event), warnings, name, started, len(raw))

    async def _parse_many(self, body: bytes, feed: Feed, name: bytes, started: float) -> Response:
        events: list[bytes] = []
        warnings: list[Warning] = []
        faults: list[Broken] = []
        index, any_hl7 = 0, False
        async for raw in walk(body):
            try:
                event = intake.read(raw, feed)
                events.append(encode(event))
                warnings += event.parse_warnings
            except MessageError as fault:
                self._slab.add(self._errors)
                faults.append(broken(index, fault))
                any_hl7 = any_hl7 or raw.startswith(b"MSH")
            index += 1
        if not events:
            raise unreadable(faults, any_hl7=any_hl7)
        extra = b'"warnings":%b,' % _to_json(warnings) if warnings else b""
        if faults:
            extra += b'"errors":%b,' % _to_json(faults)
        return _reply(b",".join(events), extra, name, started, len(body))


def _reply(events: bytes, extra: bytes, source: bytes, started: float, size: int) -> Response:
    milliseconds, microseconds = divmod(int((perf_counter() - started) * 1e6), 1000)
    return Response(
        200,
        OK_JSON,
        b'{"events":[%b],%b"metadata":{"format":"hl7v2","source":%b,'
        b'"parseTimeMs":%d.%03d,"rawSize":%d}}'
        % (events, extra, source, milliseconds, microseconds, size),
    )
