"""Character sets: MSH-18, the feed's default, and what happens when bytes and name disagree.

Test ids are the rows C1-C9.
"""

from types import ModuleType

import pytest

from fifhir import tables
from fifhir.errors import MessageError


def message_in(charset: bytes, name: bytes) -> bytes:
    msh = b"MSH|^~\\&|LAB|||||||7|P|2.5||||||" + charset
    return msh + b"\rPID|1||||" + name + b"\r"


CASES = {
    "C1": (message_in(b"", b"ELAB\x963"), "cp1252", "ELAB–3"),
    "C6-default": (message_in(b"", "Zoë".encode()), "utf-8", "Zoë"),
    "C6-blank": (message_in(b"  ", "Zoë".encode()), "utf-8", "Zoë"),
    "C6-null": (message_in(b'""', "Zoë".encode()), "utf-8", "Zoë"),
    "C6-feed": (message_in(b"", "Zoë".encode("iso8859-1")), "iso8859-1", "Zoë"),
    "C7-latin-1": (message_in(b"8859/1", "Zoë".encode("iso8859-1")), "utf-8", "Zoë"),
    "C7-latin-9": (message_in(b"8859/15", "5 €".encode("iso8859-15")), "utf-8", "5 €"),
    "C7-cyrillic": (message_in(b"8859/5", "Анна".encode("iso8859-5")), "utf-8", "Анна"),
    "C7-greek": (message_in(b"8859/7", "Άννα".encode("iso8859-7")), "utf-8", "Άννα"),
    "C7-utf-8": (message_in(b"UNICODE UTF-8", "Zoë 李".encode()), "iso8859-1", "Zoë 李"),
    "C7-chinese": (message_in(b"GB 18030-2000", "李雷".encode("gb18030")), "utf-8", "李雷"),
    "C7-korean": (message_in(b"KS X 1001", "김철수".encode("euc-kr")), "utf-8", "김철수"),
    "C7-big-5": (message_in(b"BIG-5", "王小明".encode("big5")), "utf-8", "王小明"),
    "C7-japanese": (message_in(b"ISO IR87", "山田".encode("iso2022_jp")), "utf-8", "山田"),
    "C9-second": (message_in(b"UTF-8~UNICODE", "Zoë".encode()), "iso8859-1", "Zoë"),
    "C9-ascii-then-japanese": (
        message_in(b"ASCII~ISO IR87", "山田^太郎".encode("iso2022_jp")),
        "utf-8",
        "山田",
    ),
    "utf-16-with-BOM": (
        message_in(b"UNICODE UTF-16", b"@").decode().replace("@", "Zoë").encode("utf-16"),
        "utf-8",
        "Zoë",
    ),
    "utf-16-big-endian": (
        message_in(b"UNICODE UTF-16", b"@").decode().replace("@", "Zoë").encode("utf-16-be"),
        "utf-8",
        "Zoë",
    ),
    "utf-16-of-ascii-without-BOM": (
        message_in(b"UNICODE UTF-16", b"Ann").decode().encode("utf-16-le"),
        "utf-8",
        "Ann",
    ),
    "utf-16-in-name-only": (message_in(b"UNICODE UTF-16", "Zoë".encode()), "utf-8", "Zoë"),
    "BOM": (b"\xef\xbb\xbf" + message_in(b"", "Zoë".encode()), "utf-8", "Zoë"),
    "BOM-beats-the-feed": (
        b"\xef\xbb\xbf" + message_in(b"", "Zoë".encode()),
        "iso8859-1",
        "Zoë",
    ),
}


@pytest.mark.parametrize(("raw", "charset", "name"), CASES.values(), ids=CASES)
def test_text_is_read_in_the_charset_of_the_message(
    door: ModuleType, raw: bytes, charset: str, name: str
) -> None:
    message = door.open_message(raw, charset)
    assert message.get("PID-5") == name
    assert message.liberties == ()


REFUSED = {
    "C2": (message_in(b"", b"ELAB\x963"), "bad_encoding"),
    "C2-ascii": (message_in(b"ASCII", b"Zo\xeb"), "bad_encoding"),
    "C4": (message_in(b"CNS 11643-1992", b"Zo\xeb"), "unknown_charset"),
    "C5": (message_in(b"NOT/A-CHARSET", b"Zo\xeb"), "unknown_charset"),
    "C8": ("MSH|^�\\&|LAB|||||||7|P|2.5||||||UNICODE UTF-8\rPID|1".encode(), "bad_delimiters"),
    "C8-byte": (b"MSH|^\xff\\&|LAB|||||||7|P|2.5||||||UNICODE UTF-8\rPID|1", "bad_encoding"),
    "truncated-character": (message_in(b"UNICODE UTF-8", b"Zo\xc3"), "bad_encoding"),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED)
def test_bytes_that_say_nothing_in_their_charset_are_refused(
    door: ModuleType, raw: bytes, reason: str
) -> None:
    with pytest.raises(MessageError) as refusal:
        door.open_message(raw)
    assert refusal.value.reason == reason
    assert refusal.value.location in ("MSH-2", "MSH-18")


@pytest.mark.parametrize(
    ("charset", "sent", "name", "codec"),
    [
        (b"", "Zoë – 5 €".encode("cp1252"), "Zoë – 5 €", "cp1252"),
        (b"ASCII", "Zoë".encode("cp1252"), "Zoë", "cp1252"),
        (b"UNICODE UTF-8", "Zoë".encode("cp1252"), "Zoë", "cp1252"),
        (b"", b"Zo\x81", "Zo\ufffd", "cp1252"),
    ],
)
def test_a_guess_is_windows_1252_and_says_so(
    door: ModuleType, charset: bytes, sent: bytes, name: str, codec: str
) -> None:
    message = door.open_message(message_in(charset, sent), guess=True)
    assert message.get("PID-5") == name
    assert message.charset == codec
    assert message.liberties == ("CHARSET_GUESSED",)


def test_an_ascii_message_may_name_any_charset(door: ModuleType) -> None:
    """C4, C5: bytes that mean the same in all of them cannot be read wrong."""
    message = door.open_message(message_in(b"ISO IR 999", b"Smith^Ann"))
    assert message.get("PID-5.2") == "Ann"


def test_an_unknown_charset_with_shift_sequences_is_refused(door: ModuleType) -> None:
    """C4: ISO 2022 text is seven bit too, and read as ASCII it would be nonsense."""
    with pytest.raises(MessageError) as refusal:
        door.open_message(message_in(b"ISO IR 999", b"\x1b$B;3ED\x1b(B"))
    assert refusal.value.reason == "unknown_charset"


NAMES = {
    "ASCII": "utf-8", "8859/1": "iso8859-1", "8859/2": "iso8859-2", "8859/3": "iso8859-3",
    "8859/4": "iso8859-4", "8859/5": "iso8859-5", "8859/6": "iso8859-6", "8859/7": "iso8859-7",
    "8859/8": "iso8859-8", "8859/9": "iso8859-9", "8859/15": "iso8859-15",
    "GB 18030-2000": "gb18030", "KS X 1001": "euc_kr", "BIG-5": "big5", "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8", "UNICODE UTF-16": "utf-16", "UNICODE UTF-32": "utf-32",
}  # fmt: skip


@pytest.mark.parametrize(("name", "codec"), NAMES.items(), ids=NAMES)
def test_the_names_of_table_0211_mean_their_codecs(name: str, codec: str) -> None:
    """C3. ASCII is read as its superset UTF-8: half the feeds that say ASCII send UTF-8."""
    assert tables.CHARSETS[name] == codec


@pytest.mark.parametrize(("name", "codec"), tables.CHARSETS.items())
def test_every_codec_exists_and_keeps_delimiters_single_bytes(name: str, codec: str) -> None:
    text = "MSH|^~\\&#"
    assert text.encode(codec).decode(codec) == text
    if not codec.startswith(("utf-16", "utf-32")):
        assert text.encode(codec) == text.encode()
