"""What a request brings: HL7 v2 as bytes or inside JSON, or an event as JSON; and its feed's name.

Raw bodies have a media type of HL7 v2 or text/plain; MSH-18 says their character set, so a
charset parameter is not consulted. A JSON text has no character set of its own: `data` is
encoded as MSH-18 will have it read, unless `options.encoding` says otherwise.
"""

import re
from typing import Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from fifhir import tables
from fifhir.event import Event
from fifhir.ingress.answers import Problem, timestamp
from fifhir.ingress.exchange import Request
from fifhir.intake import Feed
from fifhir.profile.choosing import Profiles

RAW_TYPES = frozenset(
    {
        *(b"application/hl7-v2", b"application/hl7-v2+er7", b"x-application/hl7-v2+er7"),
        *(b"text/plain", b"x-application/hl7-v2"),
    }
)
JSON_TYPE = b"application/json"
EVENT_LIMIT = 4 << 20  # bytes of an event as JSON; objects made of it take many times as much
SOURCE_LIMIT = 128  # characters
DEFAULT_SOURCE = "unknown"
FEEDS_LIMIT = 256  # sources remembered

_PATH = re.compile(r" - at `(?:key in )?(\$[\w.\[\]]*)`$")


class Options(Struct, frozen=True):
    """How to read `data`; without a profile as the settings say. `delimiter` is for CSV."""

    profile: str = ""
    encoding: Literal["", "utf-8", "iso-8859-1", "cp1252"] = ""
    delimiter: str = ""


class Envelope(Struct, frozen=True):
    """A JSON body: `data` in a `format`, or for the workflow an `event`, not decoded yet.

    What has no key here is skipped and never made into objects, however large or nested. That
    goes for the contract's `context` too, which no action of this version reads.
    """

    format: str = ""
    data: str = ""
    source: str = ""
    options: Options = Options()
    event: msgspec.Raw = msgspec.Raw()


_envelope = msgspec.json.Decoder(Envelope)
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
_event = msgspec.json.Decoder(Event)


def is_json(request: Request) -> bool:
    """Whether the body is JSON and not raw HL7 v2; a Problem if it is neither."""
    kind = request.headers.get(b"content-type", b"")
    if kind in RAW_TYPES:
        return False
    kind = kind.partition(b";")[0].strip().lower()
    if kind in RAW_TYPES:
        return False
    if kind == JSON_TYPE:
        return True
    raise Problem(
        415,
        "unsupported_media_type",
        "Content-Type must be application/json, application/hl7-v2 or text/plain.",
    )


def open_envelope(body: bytes) -> Envelope:
    """The JSON body, typed; a Problem if it is not JSON or not of that shape."""
    try:
        return _envelope.decode(body)
    except msgspec.ValidationError as fault:
        raise _misfit(fault, 400, "invalid_request") from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Problem(400, "invalid_json", "The body is not valid JSON.") from fault
    except RecursionError as fault:
        raise Problem(400, "json_too_deep", "The JSON is nested too deep.") from fault


def unwrap(envelope: Envelope) -> bytes:
    """The messages in `data`, as bytes; a Problem if it is in a format nobody reads here."""
    if envelope.format != "hl7v2":
        raise Problem(415, "unsupported_format", "The only format read here is hl7v2.")
    codec = envelope.options.encoding or _declared(envelope.data)
    try:
        return envelope.data.encode(codec)
    except UnicodeEncodeError as fault:
        raise Problem(
            422, "bad_encoding", "data has characters its character set has not."
        ) from fault


def to_event(given: msgspec.Raw, identity: str, source: str) -> Event:
    """The event a client describes; what only we can know is filled in where it is absent."""
    if memoryview(given).nbytes > EVENT_LIMIT:
        raise Problem(413, "event_too_large", f"An event is at most {EVENT_LIMIT} bytes of JSON.")
    now = timestamp()
    known = {
        "id": identity,
        "timestamp": now,
        "received_at": now,
        "source": source,
        "source_format": "json",
        "source_profile_id": "default",
        "source_message_id": "",
        "header": {},
    }
    try:
        event: Event = _event.decode(msgspec.json.encode({**known, **_keys.decode(given)}))
    except (msgspec.ValidationError, RecursionError) as fault:
        raise _misfit(fault, 422, "invalid_event") from fault
    checked_source(event.source)
    return event


class Feeds:
    """The feed of each source, made once for the sources that come again."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._known: dict[tuple[str, str], tuple[Feed, bytes]] = {}

    def named(self, source: str, profile: str = "") -> tuple[Feed, bytes]:
        """The feed and its name as JSON; a Problem if there is no such profile."""
        known = self._known.get((source, profile))
        if known is None:
            if len(self._known) >= FEEDS_LIMIT:
                self._known.clear()
            known = self._feed(source, profile), msgspec.json.encode(source)
            self._known[source, profile] = known
        return known

    def _feed(self, source: str, profile: str) -> Feed:
        try:
            return Feed.of(checked_source(source), self._profiles, profile)
        except KeyError as fault:
            raise Problem(422, "unknown_profile", "There is no such source profile.") from fault


def raw_source(request: Request) -> str:
    """Who sent a raw body: `?source=`, else X-Source, else whose key it came with."""
    asked = _asked(request, "source")
    if asked is not None:
        return asked or default_source(request)
    given = request.headers.get(b"x-source")
    return given.strip().decode("utf-8", "replace") if given else default_source(request)


def default_source(request: Request) -> str:
    """The source of what names none: the name of its key or certificate."""
    return request.caller.name if request.caller else DEFAULT_SOURCE


def wants_fhir(request: Request) -> bool:
    """Whether `?as=fhir` stands in the target; a Problem for anything else it may be asked as."""
    asked = _asked(request, "as")
    if asked not in {None, "event", "fhir"}:
        raise Problem(400, "bad_query", "as is event or fhir.")
    return asked == "fhir"


def _asked(request: Request, name: str) -> str | None:
    """What the query string says of a name, which may stand there once."""
    query = request.target.partition(b"?")[2]
    if not query:
        return None
    try:
        asked = parse_qs(query.decode("ascii"), max_num_fields=16, errors="strict")
    except (ValueError, UnicodeDecodeError) as fault:
        raise Problem(400, "bad_query", "The query string is not valid.") from fault
    if len(found := asked.get(name, [])) > 1:
        raise Problem(400, "bad_query", f"{name} may stand once in the query string.")
    return found[0] if found else None


def checked_source(source: str) -> str:
    """The source's name, which will be in events, logs and metrics."""
    if len(source) > SOURCE_LIMIT or not source.isprintable() or "\ufffd" in source:
        raise Problem(
            400,
            "bad_source",
            f"source is at most {SOURCE_LIMIT} printable characters.",
        )
    return source


def _declared(data: str) -> str:
    """The codec MSH-18 names, UTF-8 if it names none we know."""
    head = re.split(r"[\r\n]", data.lstrip("\ufeff\v \r\n"), maxsplit=1)[0]
    fields = head.split(head[3:4], 18) if head[3:4] else []
    name = re.split(r"[~^\\]", fields[17], maxsplit=1)[0].strip() if len(fields) > 17 else ""
    return tables.CHARSETS.get(name, "utf-8")


def _misfit(fault: Exception, status: int, error: str) -> Problem:
    """Tell where the value is that does not fit; its text may be the value's own, so not that."""
    path = _PATH.search(str(fault))
    where = {"details": {"path": path[1]}} if path else {}
    return Problem(status, error, "The JSON has not the shape this request needs.", **where)
