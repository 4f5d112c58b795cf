"""One HL7 v2 message: bytes opened, decoded and addressed by HL7 paths.

The only door to the tokenizer. A message is read-only; its bytes stay as they were sent.
"""

import os
import re
from typing import TYPE_CHECKING

from fifhir import path, tables
from fifhir.errors import MessageError

TOKENIZER = os.environ.get("FIFHIR_TOKENIZER", "auto")
if TYPE_CHECKING or TOKENIZER != "python":
    try:
        from fifhir._hl7json import Plans, write
        from fifhir._hl7parse import Tokens, uuid_text
        from fifhir._hl7plan import Plan
        from fifhir._hl7scribe import Scribe
    except ImportError:
        if TOKENIZER == "compiled":
            raise
        TOKENIZER = "python"
    else:
        TOKENIZER = "compiled"
if not TYPE_CHECKING and TOKENIZER == "python":  # all or nothing: they know each other's insides
    from fifhir._hl7json_py import Plans, write
    from fifhir._hl7parse_py import Tokens, uuid_text
    from fifhir._hl7plan_py import Plan
    from fifhir._hl7scribe_py import Scribe

__all__ = [
    "TOKENIZER",
    "Message",
    "Plan",
    "Plans",
    "Scribe",
    "Tokens",
    "open_message",
    "uuid_text",
    "write",
]

_MARKS = {  # what a message in Unicode begins with
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"M\0": "utf-16-le",
    b"\0M": "utf-16-be",
    b"\xef\xbb": "utf-8",
}


class Message(Tokens):
    """A message with its values under HL7 paths.

    `charset` is the codec it was sent in. `liberties` are the warnings its reading calls for:
    `CHARSET_GUESSED` where its bytes were not valid in the character set it named or implied and
    were read as Windows-1252 instead, `NON_STANDARD_DELIMITERS` where its MSH-2 was damaged in a
    known way and read as what it was.
    """

    __slots__ = ()  # no dictionary: a message is made for every message

    def sent(self, where: str) -> str:
        """The text at a path as it was sent, delimiters and escapes in it; "" if absent.

        What the path leaves open is kept whole: `PID-3` is the field with all its repetitions.
        """
        name, occurrence, field, repetition, component, subcomponent = path.read(where)
        at = self._at(name, occurrence)
        if at < 0:
            return ""
        if component and not repetition:
            repetition = 1
        return self.cut(at, field, repetition, component, subcomponent).decode()

    def count(self, where: str) -> int:
        """How many repetitions the field at a path has."""
        wanted = path.read(where)
        at = self._at(wanted.segment, wanted.occurrence)
        return self.repetitions(at, wanted.field) if at >= 0 else 0

    def encode(self) -> bytes:
        """The message in UTF-8 with every segment ended by CR."""
        spans = map(self.span, range(len(self)))
        return b"".join(self.raw[start:end] + b"\r" for start, end in spans)

    def _at(self, name: bytes, occurrence: int) -> int:
        at = self.find(name)
        while occurrence > 1 and at >= 0:
            at = self.find(name, at + 1)
            occurrence -= 1
        return at


def open_message(
    raw: bytes, charset: str = "utf-8", guess: bool = False, mend: bool = False
) -> Message:
    """The message in `raw`, decoded from the character set MSH-18 names, else from `charset`.

    Raises MessageError if it is not HL7 v2. Bytes that are not valid in that character set are
    an error unless `guess` allows to read them as Windows-1252, and so is a damaged MSH-2 unless
    `mend` allows to read it as the standard one (`tables/codes/delimiters.csv`).
    """
    try:
        message = Message(raw)
    except MessageError:
        return _reopened(raw, charset, guess, mend)
    if not message.ascii:
        return _reopened(raw, charset, guess, mend)
    if message.hexed:
        declared = message.cut(0, 18, 1, 1)
        message.charset = _codec(declared.decode(), "utf-8") if declared else charset
    return message


def _reopened(raw: bytes, charset: str, guess: bool, mend: bool) -> Message:
    """The message once its bytes have been decoded and its delimiters, if need be, mended."""
    codec, text, guessed = _decoded(raw, charset, guess)
    liberties: tuple[str, ...] = ("CHARSET_GUESSED",) if guessed else ()
    sent = text.encode()
    try:
        message = Message(sent)
    except MessageError as fault:
        meant = _meant(sent) if mend and fault.reason == "bad_delimiters" else b""
        if not meant:
            raise
        message = Message(sent, meant)
        liberties += ("NON_STANDARD_DELIMITERS",)
    message.charset = codec
    message.liberties = liberties
    return message


def _meant(raw: bytes) -> bytes:
    """The delimiters a damaged MSH-2 stood for; empty if the damage is not a known one."""
    start = raw.find(b"MSH") + 3
    end = raw.find(raw[start : start + 1], start + 1)
    return tables.DAMAGED_DELIMITERS.get(raw[start:end], b"")


def _decoded(raw: bytes, charset: str, guess: bool) -> tuple[str, str, bool]:
    """The codec, the text, and whether the codec had to be guessed."""
    codec = _MARKS.get(raw[:2]) or _declared(raw) or charset
    try:
        return codec, raw.decode(codec), False
    except UnicodeDecodeError as fault:
        if not guess:
            raise _invalid() from fault
        return "cp1252", raw.decode("cp1252", "replace"), True


def _declared(raw: bytes) -> str:
    """The codec MSH-18 names for bytes that stand for delimiters as ASCII does; "" if none.

    The first repetition is the default character set. ISO 2022 text shifts to the others with
    ESC, and its codec knows them all.
    """
    start = raw.find(b"MSH")
    if start < 0 or start + 4 > len(raw):
        return ""
    fields = re.split(rb"[\r\n]", raw[start:], maxsplit=1)[0].split(raw[start + 3 : start + 4], 18)
    if len(fields) < 18 or not fields[17].strip(b' "'):
        return ""
    names = [name.strip() for name in fields[17].decode("ascii", "replace").split("~")]
    codecs = [_codec(re.split(r"[\^\\]", name, maxsplit=1)[0]) for name in names]
    if b"\x1b" in raw and (shifted := [c for c in codecs if c.startswith("iso2022")]):
        return shifted[0]
    if names[0] and not codecs[0]:
        raise MessageError(
            "unknown_charset",
            "MSH-18 names a character set that is not supported",
            location="MSH-18",
            code="103",
        )
    return "utf-8" if codecs[0].startswith("utf") else codecs[0]


def _codec(name: str, default: str = "") -> str:
    return tables.CHARSETS.get(name) or tables.CHARSETS.get(name.upper(), default)


def _invalid() -> MessageError:
    return MessageError(
        "bad_encoding",
        "message is not valid in the character set MSH-18 names or implies",
        location="MSH-18",
        code="102",
    )
