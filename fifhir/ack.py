"""The acknowledgment of one message: MSH, MSA and, if it was refused, ERR (HL7 v2 ch. 2, 2.9).

An answer is made from the bytes of the sender's MSH alone, as far as they can be read, so that
broken messages are answered as well. It has the sender's delimiters, character set and version.
No text in it comes from the message, but what an acknowledgment has to repeat does: the sender's
MSH-3 to MSH-6, MSH-10, MSH-11, MSH-12 and MSH-18, byte by byte. Of these, one that holds control
characters or is longer than `REPEATED_LIMIT` is left out.
"""

import re
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct

from fifhir import tables
from fifhir.errors import MessageError

Mode: TypeAlias = Literal["auto", "application", "enhanced"]
"""Who decides what is answered: the message by MSH-15 and MSH-16, or always one AA or one CA."""

REPEATED_LIMIT = 256  # bytes; the standard's longest of these fields is 227
MSH_LIMIT = 8192  # bytes of a segment looked at
HIGHEST_VERSION = b"2.8"  # for a sender that names none: the last one most libraries know of

CONDITIONS = tables.codes("error_conditions")
# MSH-9, MSH-11 or MSH-12 is not for us (2.9.2.1), or the fault is ours and not in the message
# (2.9.2.2); any other is an error in the content.
REJECTING = {"200", "201", "202", "203", "207"}
_REQUESTS = {b"AL", b"NE", b"ER", b"SU"}  # HL7 table 0155
_STANDARD = b"|^~\\&"
_DELIMITER = re.compile(rb"[!#-/:-@\[-`{-~]")
_CONTROL = bytes({*range(0x20), 0x7F} - {0x1B})  # ESC shifts in ISO 2022
_BEFORE = b"\xef\xbb\xbf \t\r\n\x0b\0"
_UTF_16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"M\0": "utf-16-le", b"\0M": "utf-16-be"}
_LOCATION = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:\((\d+)\))?(?:-(\d+)(?:\((\d+)\))?(?:\.(\d+)(?:\.(\d+))?)?)?"
)
# In these a byte that looks like a delimiter may be half a character.
_NOT_TRANSPARENT = ("iso2022", "gb18030", "big5")


class Header(Struct, frozen=True, kw_only=True):
    """The MSH of a message, good or broken. `fields[n]` is MSH-n in bytes, empty if absent.

    `told_back[n]` is the same as an answer repeats it: nothing, where it would break the answer.
    `codec` is what the answer is encoded in, where UTF-8 will not do.
    """

    delimiters: bytes
    fields: tuple[bytes, ...]
    told_back: tuple[bytes, ...]
    codec: str = ""
    acknowledges: bool = False

    def part(self, field: int, component: int) -> bytes:
        """A component of the field's first repetition."""
        value = self.fields[field].split(self.delimiters[2:3], 1)[0]
        parts = value.split(self.delimiters[1:2], component)
        return parts[component - 1] if component <= len(parts) else b""


_FIELDS = 18
_NOTHING = (b"",) * (_FIELDS + 1)
_UNREADABLE = Header(delimiters=_STANDARD, fields=_NOTHING, told_back=_NOTHING)


class Signature(Struct, frozen=True):
    """How answers call us, and which form they have; empty means as the message addressed us."""

    application: bytes = b""
    facility: bytes = b""
    error_segment: bool = True


ANONYMOUS = Signature()


def names(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """MSH-3, MSH-4 and MSH-10 as `header` has them: who sent a message, and as which one."""
    line = raw[: max(raw.find(b"\r", 0, MSH_LIMIT), 0)]
    fields = line.split(b"|", 10)
    if len(fields) == 11 and fields[0] == b"MSH" and _is_ascii(line):
        return fields[2], fields[3], fields[9]
    head = header(raw)
    return head.fields[3], head.fields[4], head.fields[10]


def _is_ascii(line: bytes) -> bool:
    """Whether no character set and no other line end can part these bytes in another way."""
    return line.isascii() and b"\x1b" not in line and b"\n" not in line


def header(raw: bytes) -> Header:
    """The MSH at the start of `raw`; without one, a header in which every field is empty."""
    text, codec = _readable(raw)
    line = _line(text)
    if not codec:
        line, codec = _redecoded(line)
    separator = line[3:4]
    if line[:3] != b"MSH" or not _DELIMITER.fullmatch(separator):
        return _UNREADABLE
    values = line.split(separator, _FIELDS)
    fields = (b"", separator, *values[1:_FIELDS], *_NOTHING[len(values) : _FIELDS])
    safe = len(line) <= REPEATED_LIMIT and _is_safe(line)
    return Header(
        delimiters=_delimiters(separator, fields[2]),
        fields=fields,
        told_back=fields if safe else tuple(map(_told_back, fields)),
        codec=codec,
        acknowledges=fields[9].startswith((b"ACK", b"MCF")) or _has_msa(text, separator),
    )


def fault(head: Header) -> MessageError | None:
    """What makes it impossible to acknowledge the message, however well it can be read."""
    if head is _UNREADABLE:
        return MessageError("no_msh", "message does not begin with an MSH segment")
    if not head.fields[10].strip(b' "'):
        return _missing("no_control_id", "MSH-10 is empty", "MSH-10")
    if not head.told_back[10]:
        text = "MSH-10 is too long or holds control characters"
        return MessageError("bad_control_id", text, location="MSH-10", code="102")
    if not head.part(9, 1):
        return MessageError("no_message_type", "MSH-9 is empty", location="MSH-9", code="200")
    return None


def codes(head: Header, wrong: MessageError | None, mode: Mode) -> tuple[str, ...]:
    """The acknowledgment codes that are due, in the order they are sent; none to an answer.

    The accept acknowledgment, if one is due, comes before the application's. One refusal is
    enough: what was not accepted never reached the application.
    """
    if head.acknowledges:
        return ()
    letter = "A" if wrong is None else "R" if wrong.code in REJECTING else "E"
    return _due(head.fields[15], head.fields[16], mode, letter)


@lru_cache(maxsize=64)
def _due(accept: bytes, application: bytes, mode: Mode, letter: str) -> tuple[str, ...]:
    good = letter == "A"
    wanted = (b"AL", b"SU") if good else (b"AL", b"ER")
    asked = zip("CA", _asked(accept, application, mode), strict=True)
    due = tuple(kind + letter for kind, condition in asked if condition in wanted)
    return due if good else due[:1]


def encode(  # noqa: PLR0913 - what an acknowledgment is made of
    head: Header,
    code: str,
    wrong: MessageError | None = None,
    *,
    written: str,
    control_id: str,
    signature: Signature = ANONYMOUS,
) -> bytes:
    """The acknowledgment with this code. `written` is its MSH-7, `control_id` its MSH-10."""
    separator = head.delimiters[:1]
    segments = [_msh(head, written, control_id, signature), _msa(head, code, wrong)]
    if wrong is not None and signature.error_segment:
        segments.append(_err(head, wrong))
    answer = b"".join(separator.join(fields).rstrip(separator) + b"\r" for fields in segments)
    return answer.decode("utf-8", "replace").encode(head.codec, "replace") if head.codec else answer


def is_repeatable(control_id: bytes) -> bool:
    """Whether an acknowledgment can name this MSH-10."""
    return control_id.isalnum() or bool(control_id.strip(b' "') and _told_back(control_id))


class Reply(Struct, frozen=True):
    """What somebody else's acknowledgment says: MSA-1, MSA-2, and a condition of HL7 table 0357."""

    code: str
    control_id: bytes
    condition: str = ""


def reply(answer: bytes) -> Reply | None:
    """What an acknowledgment says; None if it is none."""
    head = header(answer)
    separator = head.delimiters[:1]
    segments = [line.split(separator) for line in re.split(rb"[\r\n]+", _readable(answer)[0])]
    msa = next((fields for fields in segments if fields[0] == b"MSA" and len(fields) > 1), None)
    if head is _UNREADABLE or msa is None:
        return None
    err = next((fields for fields in segments if fields[0] == b"ERR"), [])
    condition = _condition(head, [*err, b"", b"", b"", b""])
    return Reply(msa[1].decode("ascii", "replace"), msa[2] if len(msa) > 2 else b"", condition)


def _condition(head: Header, err: list[bytes]) -> str:
    """ERR-3.1, in earlier versions the first subcomponent of ERR-1.4, if it is one we know."""
    component, subcomponent = head.delimiters[1:2], head.delimiters[4:5]
    older = [*err[1].split(component), b"", b"", b""][3].split(subcomponent)[0]
    found = (err[3].split(component)[0] or older).decode("ascii", "replace")
    return found if found in CONDITIONS else ""


def _is_safe(value: bytes) -> bool:
    return len(value.translate(None, _CONTROL)) == len(value)


def _told_back(value: bytes) -> bytes:
    return value if len(value) <= REPEATED_LIMIT and _is_safe(value) else b""


def _asked(accept: bytes, application: bytes, mode: Mode) -> tuple[bytes, bytes]:
    """When to send the accept and the application acknowledgment (HL7 table 0155)."""
    if mode == "application":
        return b"NE", b"AL"
    if mode == "enhanced":
        return b"AL", b"NE"
    accept, application = _request(accept), _request(application)
    if not accept and not application:
        return b"NE", b"AL"  # original mode
    return accept or b"NE", application or b"NE"


def _request(value: bytes) -> bytes:
    """One of table 0155, or empty for nothing and a null. Any other word asks for an answer."""
    code = value.strip(b' "').upper()
    return code if not code or code in _REQUESTS else b"AL"


def _msh(head: Header, written: str, control_id: str, signature: Signature) -> list[bytes]:
    component = head.delimiters[1:2]
    trigger = head.part(9, 2)
    kind = component.join((b"ACK", trigger, b"ACK")) if _is_plain(trigger) else b"ACK"
    return [
        b"MSH",
        head.delimiters[1:],
        _escaped(head, signature.application) or head.told_back[5],
        _escaped(head, signature.facility) or head.told_back[6],
        head.told_back[3],
        head.told_back[4],
        _escaped(head, written.encode()),
        b"",
        kind,
        control_id.encode(),
        head.told_back[11],
        head.told_back[12] or _escaped(head, HIGHEST_VERSION),
        *(b"",) * 5,
        head.told_back[18],
    ]


def _msa(head: Header, code: str, wrong: MessageError | None) -> list[bytes]:
    text = b"" if wrong is None else _escaped(head, str(wrong).encode())
    return [b"MSA", code.encode(), head.told_back[10], text]


def _err(head: Header, wrong: MessageError) -> list[bytes]:
    """ERR with the place and the condition, as the sender's version has it."""
    component, subcomponent = head.delimiters[1:2], head.delimiters[4:5]
    condition = (wrong.code.encode(), CONDITIONS.get(wrong.code, "").encode(), b"HL70357")
    place = _place(wrong.location)
    if _is_before_2_5(head):
        place = [*place, b"", b""][:3]
        return [b"ERR", component.join((*place, subcomponent.join(condition)))]
    text = _escaped(head, str(wrong).encode())
    where, what = component.join(place), component.join(condition)
    return [b"ERR", b"", where, what, b"E", b"", b"", b"", text]


def _place(location: str) -> list[bytes]:
    """A location as ERL has it: segment, which one, field, repetition, component, subcomponent."""
    form = _LOCATION.fullmatch(location)
    if form is None:
        return [b"MSH", b"1"]
    segment, occurrence, field, repetition, component, subcomponent = form.groups()
    deep = component and not repetition
    parts = [
        segment,
        occurrence or "1",
        field,
        "1" if deep else repetition,
        component,
        subcomponent,
    ]
    return b"^".join((part or "").encode() for part in parts).rstrip(b"^").split(b"^")


def _is_before_2_5(head: Header) -> bool:
    numbers = re.match(rb"(\d+)\.(\d+)", head.part(12, 1))
    return bool(numbers) and (int(numbers[1]), int(numbers[2])) < (2, 5)  # type: ignore[index]


def _is_plain(trigger: bytes) -> bool:
    """Whether it looks like a trigger event; only then it is told back."""
    return len(trigger) <= 8 and trigger.isalnum()


def _escaped(head: Header, text: bytes) -> bytes:
    """Text of ours in which no byte is taken for a delimiter."""
    if len(text.translate(None, head.delimiters)) == len(text):
        return text
    escape = head.delimiters[3:4]
    names = dict(zip(head.delimiters, b"FSRETP", strict=False))
    return b"".join(
        b"%b%c%b" % (escape, names[octet], escape) if octet in names else b"%c" % octet
        for octet in text
    )


def _missing(reason: str, text: str, location: str) -> MessageError:
    return MessageError(reason, text, location=location, code="101")


@lru_cache(maxsize=64)
def _delimiters(separator: bytes, sent: bytes) -> bytes:
    """MSH-1 and MSH-2 if they can be used, what they stood for if they were damaged."""
    found = separator + sent
    usable = 5 <= len(found) <= 6 and len(set(found)) == len(found)
    if usable and all(_DELIMITER.match(found, at) for at in range(len(found))):
        return found
    meant = tables.DAMAGED_DELIMITERS.get(found, b"")
    return meant or (separator + b"^~\\&" if separator not in _STANDARD[1:] else _STANDARD)


def _readable(raw: bytes) -> tuple[bytes, str]:
    """The message in UTF-8 or whatever else has ASCII's delimiters, and the codec it was in.

    Of UTF-16 only the beginning: what an answer needs stands in the first two segments.
    """
    codec = _UTF_16.get(raw[:2], "")
    if codec:
        raw = raw[:MSH_LIMIT].decode(codec, "replace").encode()
    return raw.lstrip(_BEFORE), codec


def _line(text: bytes) -> bytes:
    end = text.find(b"\r", 0, MSH_LIMIT)
    line = text[: end if end >= 0 else MSH_LIMIT]
    return line.split(b"\n", 1)[0] if b"\n" in line else line


def _has_msa(text: bytes, separator: bytes) -> bool:
    at = text.find(b"MSA" + separator)
    return at > 0 and (b"\rMSA" + separator in text or b"\nMSA" + separator in text)


def _redecoded(line: bytes) -> tuple[bytes, str]:
    """The line in UTF-8 if it is in one of the character sets that cannot be cut as they stand."""
    if len(line) < 4 or (line.isascii() and b"\x1b" not in line):
        return line, ""
    codec = _declared(line)
    return (line.decode(codec, "replace").encode(), codec) if codec else (line, "")


def _declared(line: bytes) -> str:
    """The codec MSH-18 names, if it is one in which the line cannot be cut as it stands."""
    values = line.split(line[3:4], _FIELDS)
    names = values[17].decode("ascii", "replace").split("~") if len(values) > 17 else []
    for name in names:
        codec = tables.CHARSETS.get(name.strip().upper(), "")
        if codec.startswith(_NOT_TRANSPARENT):
            return codec
    return ""
