"""One HL7 v2 message: bytes opened, decoded and addressed by HL7 paths.

The only door to the tokenizer. A message is read-only; its bytes stay as they were sent.
"""

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fifhir import tables
from fifhir.errors import MessageError

if TYPE_CHECKING:
    from fifhir._hl7parse import Plan, Tokens

    TOKENIZER: str
elif os.environ.get("FIFHIR_TOKENIZER", "auto") == "python":
    from fifhir._hl7parse_py import Plan, Tokens

    TOKENIZER = "python"
else:
    try:
        from fifhir._hl7parse import Plan, Tokens

        TOKENIZER = "compiled"
    except ImportError:
        if os.environ.get("FIFHIR_TOKENIZER") == "compiled":
            raise
        from fifhir._hl7parse_py import Plan, Tokens

        TOKENIZER = "python"

__all__ = ["TOKENIZER", "Message", "Path", "Plan", "open_message", "path"]

_PATH = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:[(\[](\d+)[)\]])?"
    r"-(\d+)(?:[(\[](\d+)[)\]])?(?:\.(\d+)(?:\.(\d+))?)?"
)
_MARKS = {  # what a message in Unicode begins with
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"M\0": "utf-16-le",
    b"\0M": "utf-16-be",
    b"\xef\xbb": "utf-8",
}


class Path(NamedTuple):
    """Where a value is: `PID(1)-3(2).4.1`. 0 is what the path leaves open."""

    segment: bytes
    occurrence: int
    field: int
    repetition: int
    component: int
    subcomponent: int


@lru_cache(maxsize=4096)
def path(text: str) -> Path:
    """The path `text` means; ValueError if it is not one (`PID-5.1`, `PID-3(2).4`, `OBX(3)-5`)."""
    form = _PATH.fullmatch(text)
    if form is None:
        raise ValueError(f"not an HL7 path: {text!r}; write PID-5.1, PID-3(2).4 or OBX(3)-5")
    numbers = [int(part) if part else 0 for part in form.groups()[1:]]
    return Path(form[1].encode(), *numbers)


class Message(Tokens):
    """A message with its values under HL7 paths.

    `charset` is the codec it was sent in; `guessed` is true where its bytes were not valid in
    the character set it named or implied and were read as Windows-1252 instead, `mended` where
    its MSH-2 was damaged in a known way and read as what it was.
    """

    guessed = False
    mended = False

    @property
    def is_damaged(self) -> bool:
        """Whether reading it took a liberty a warning should tell of."""
        return self.guessed or self.mended or self.odd > 0

    def get(self, where: str) -> str | None:
        """The decoded text at a path: "" if absent or empty, None for an HL7 null (`""`).

        What the path leaves open is the first: `PID-5` is `PID(1)-5(1).1.1`.
        """
        name, occurrence, field, repetition, component, subcomponent = path(where)
        at = self._at(name, occurrence)
        if at < 0:
            return ""
        return self.text(at, field, repetition or 1, component or 1, subcomponent or 1)

    def sent(self, where: str) -> str:
        """The text at a path as it was sent, delimiters and escapes in it; "" if absent.

        What the path leaves open is kept whole: `PID-3` is the field with all its repetitions.
        """
        name, occurrence, field, repetition, component, subcomponent = path(where)
        at = self._at(name, occurrence)
        if at < 0:
            return ""
        if component and not repetition:
            repetition = 1
        return self.cut(at, field, repetition, component, subcomponent).decode()

    def count(self, where: str) -> int:
        """How many repetitions the field at a path has."""
        wanted = path(where)
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
    raw: bytes, charset: str = "utf-8", *, guess: bool = False, mend: bool = False
) -> Message:
    """The message in `raw`, decoded from the character set MSH-18 names, else from `charset`.

    Raises MessageError if it is not HL7 v2. Bytes that are not valid in that character set are
    an error unless `guess` allows to read them as Windows-1252, and so is a damaged MSH-2 unless
    `mend` allows to read it as the standard one (`tables/codes/delimiters.csv`).
    """
    if raw.isascii() and raw[:2] not in _MARKS and b"\x1b" not in raw:
        message = _tokenized(raw, mend)
        declared = message.cut(0, 18, 1, 1)
        message.charset = _codec(declared.decode(), "utf-8") if declared else charset
        return message
    codec, text, guessed = _decoded(raw, charset, guess)
    message = _tokenized(text.encode(), mend)
    message.charset = codec
    message.guessed = guessed
    return message


def _tokenized(raw: bytes, mend: bool) -> Message:
    try:
        return Message(raw)
    except MessageError as fault:
        meant = _meant(raw) if mend and fault.reason == "bad_delimiters" else b""
        if not meant:
            raise
        message = Message(raw, meant)
        message.mended = True
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
    if start < 0:
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
