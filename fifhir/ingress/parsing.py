"""POST /api/v1/parse: messages in, events out, nothing kept.

The answer is `{"events": [...], "warnings": [...], "errors": [...], "metadata": {...}}`, warnings
and errors only where there are any. Of a batch with a broken message the others still come out,
and the broken one is told in `errors` with its index: 200 if at least one event came out, 422 if
none did, 400 if nothing in the body even looks like HL7.
"""

from io import BytesIO
from time import perf_counter

import msgspec
from msgspec import structs

from fifhir import intake
from fifhir.batch import is_single
from fifhir.errors import MessageError
from fifhir.event import Warning
from fifhir.families import FINE
from fifhir.ingress import bodies
from fifhir.ingress.answers import OK_JSON
from fifhir.ingress.bodies import Feeds
from fifhir.ingress.converting import convert
from fifhir.ingress.exchange import Answer, Request, Response
from fifhir.ingress.heads import answer
from fifhir.ingress.messages import SLICE, Broken, broken, unreadable, walk
from fifhir.intake import Feed
from fifhir.message import Scribe
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab

PARSE = "/api/v1/parse"
_METADATA = b'"metadata":{"format":"hl7v2","source":%b,"parseTimeMs":%.3f,"rawSize":%d}}'
_ONE = b'{"events":[%b],%b' + _METADATA
_to_json = msgspec.json.Encoder().encode


class Shortcut:
    """What answers the messages of one feed with as little ado as can be.

    It has an answer only for a message that its scribe writes; all others go the long way.
    """

    def __init__(self, scribe: Scribe, name: bytes, slab: Slab, counter: int, stage: int) -> None:
        self._write = scribe.write
        self._name = name
        self._slab = slab
        self._words = slab.words
        self._counter = counter
        self._stage = stage

    def answer(self, data: bytes, begin: int, date: bytes) -> bytes | None:
        """The answer to the message that begins there; see `exchange.Shortcut`."""
        started = perf_counter()
        size = len(data) - begin
        written = self._write(data, intake.now(), begin) if size <= SLICE else None
        if written is None:
            return None
        took = perf_counter() - started
        self._words[self._counter] += 1.0
        self._slab.observe(self._stage, took, FINE)
        told = _METADATA % (self._name, took * 1000, size)
        return answer((OK_JSON, date), (b'{"events":[', written[1], b"],", told))


class Parser:
    """Answers parse requests."""

    def __init__(self, feeds: Feeds, catalogue: Catalogue, slab: Slab) -> None:
        self._feeds = feeds
        self._slab = slab
        self._errors = catalogue.error("parse")
        self._fine = catalogue.http(PARSE, 200)
        self._stage = catalogue.stages["parse"]

    def answer(self, request: Request) -> Answer:
        """One message is answered at once; a batch lets other connections have their turns."""
        started = perf_counter()
        if b"as=" in request.target and bodies.wants_fhir(request):
            return self._convert(request)
        notes = request.notes
        if notes is not None and notes.feed is not None:
            body, (feed, name) = request.body, notes.feed
        else:
            body, (feed, name) = self._open(request)
        if len(body) > SLICE and not is_single(body):
            return self._parse_many(body, feed, name, started)
        try:
            single = intake.read_single(body, feed)
        except MessageError as fault:
            self._slab.add(self._errors)
            raise unreadable([broken(0, fault)], any_hl7=True) from fault
        if single is None:
            return self._parse_many(body, feed, name, started)
        _, event, told = single
        warnings = b'"warnings":%b,' % _to_json(told) if told else b""
        took = perf_counter() - started
        self._slab.observe(self._stage, took, FINE)
        return Response(200, OK_JSON, _ONE % (event, warnings, name, took * 1000, len(body)))

    def _convert(self, request: Request) -> Answer:
        """As FHIR; nothing is noted on the head, so it is asked for each time."""
        body, (feed, _) = self._open(structs.replace(request, notes=None))
        return convert(body, feed)

    def _open(self, request: Request) -> tuple[bytes, tuple[Feed, bytes]]:
        """The messages, and the feed they come from; that of a raw body is noted on its head."""
        if bodies.is_json(request):
            envelope = bodies.open_envelope(request.body)
            source = envelope.source or bodies.default_source(request)
            feed = self._feeds.named(source, envelope.options.profile)
            return bodies.unwrap(envelope), feed
        feed = self._feeds.named(bodies.raw_source(request))
        if (notes := request.notes) is not None:
            notes.feed = feed
            if scribe := feed[0].scribe:
                notes.shortcut = Shortcut(
                    *(scribe, feed[1], self._slab, self._fine), self._stage
                ).answer
        return request.body, feed

    async def _parse_many(self, body: bytes, feed: Feed, name: bytes, started: float) -> Response:
        """The answer is written as the batch is read: joined at the end, it would stop the loop."""
        events, warnings = BytesIO(), BytesIO()
        faults: list[Broken] = []
        miscounts: list[Warning] = []
        index, any_hl7 = 0, False
        async for raw in walk(body, miscounts):
            try:
                _, event, told = intake.read_json(raw, feed)
                _append(events, b'{"events":[', event)
                if told:
                    _append(warnings, b'"warnings":[', _to_json(told)[1:-1])
            except MessageError as fault:
                self._slab.add(self._errors)
                faults.append(broken(index, fault))
                any_hl7 = any_hl7 or raw.startswith(b"MSH")
            index += 1
        if not events.tell():
            raise unreadable(faults, any_hl7=any_hl7)
        events.write(b"],")
        if miscounts:
            _append(warnings, b'"warnings":[', _to_json(miscounts)[1:-1])
        if warnings.tell():
            events.write(warnings.getvalue() + b"],")
        if faults:
            events.write(b'"errors":%b,' % _to_json(faults))
        took = (perf_counter() - started) * 1000
        events.write(_METADATA % (name, took, len(body)))
        return Response(200, OK_JSON, events.getvalue())


def _append(array: BytesIO, opening: bytes, element: bytes) -> None:
    """One more element of a JSON array that begins with `opening`."""
    array.write(b"," if array.tell() else opening)
    array.write(element)
