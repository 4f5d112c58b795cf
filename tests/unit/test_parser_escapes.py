"""Escape sequences, both ways. Test ids are the rows E1-E26."""

from types import ModuleType

import pytest

from fifhir import escape

STANDARD = rb"|^~\&"
CASES = {
    "E1": (rb"\F\ \S\ \T\ \R\ \E\ ".strip(), STANDARD, r"| ^ & ~ " + "\\"),
    "E1-foreign": (b"foo$F$bar", b"!@#$%", "foo!bar"),
    "E1-foreign-all": (b"$F$$S$$R$$E$$T$", b"!@#$%", "!@#$%"),
    "E2": (rb"Parker \T\ Sons", STANDARD, "Parker & Sons"),
    "E2-inside": (rb"XR CHEST PA\T\LAT", STANDARD, "XR CHEST PA&LAT"),
    "E3": (rb"MARIO \T\ LUIGI BROS PLACE", STANDARD, "MARIO & LUIGI BROS PLACE"),
    "E4": (rb"\X4142" + b"\\", STANDARD, "AB"),
    "E4-lower": (b"\\X4a4b\\", STANDARD, "JK"),
    "E4-blanks": (b"<\\X20202020\\>", STANDARD, "<    >"),
    "E5-LF": (b"a\\X0A\\b", STANDARD, "a\nb"),
    "E5-CR": (b"a\\X0D\\b", STANDARD, "a\rb"),
    "E6-latin": (rb"\Xe1\\Xe9\\Xed\\Xf3\\Xfa" + b"\\", STANDARD, "áéíóú"),
    "E6-utf8": (b"\\XC3A9\\", STANDARD, "é"),
    "E6-utf8-in-two": (b"\\XC3\\\\XA9\\", STANDARD, "é"),
    "E7-odd": (b"\\X414\\", STANDARD, "A"),
    "E7-none": (b"a\\X\\b", STANDARD, "ab"),
    "E7-not-hex": (b"\\X4G\\", STANDARD, "\\X4G\\"),
    "E8": (rb"\F\\S\\T" + b"\\", STANDARD, "|^&"),
    "E9": (rb"one\.br\two", STANDARD, "one\ntwo"),
    "E10": (rb"a\.sp\b", STANDARD, "a\nb"),
    "E10-three": (rb"a\.sp 3\b", STANDARD, "a\n\n\nb"),
    "E10-plus": (rb"a\.sp+2\b", STANDARD, "a\n\nb"),
    "E10-five": (rb"a\.sp5\b", STANDARD, "a\n\n\n\n\nb"),
    "E10-zero": (rb"a\.sp0\b", STANDARD, "a\nb"),
    "E10-negative": (rb"a\.sp-1\b", STANDARD, "a\nb"),
    "E10-bounded": (rb"a\.sp9999\b", STANDARD, "a" + 100 * "\n" + "b"),
    "E11": (rb"\H\text\N" + b"\\", STANDARD, "text"),
    "E12-single": (b"\\C2842\\", STANDARD, "\\C2842\\"),
    "E12-multi": (b"\\M824041\\", STANDARD, "\\M824041\\"),
    "E12-zero": (b"\\C00FF\\", STANDARD, "\\C00FF\\"),
    "E13": (b"\\Z\\", STANDARD, "\\Z\\"),
    "E13-digits": (b"a\\Z99\\b", STANDARD, "a\\Z99\\b"),
    "E13-unknown": (b"a\\.xy\\b", STANDARD, "a\\.xy\\b"),
    "E14-end": (b"foo\\", STANDARD, "foo\\"),
    "E14-inside": (rb"BSV 4\5 re.", STANDARD, r"BSV 4\5 re."),
    "E14-path": (rb"C:\temp\out" + b"\\", STANDARD, r"C:\temp\out" + "\\"),
    "E14-then-sequence": (rb"4\5 re \T\ x", STANDARD, r"4\5 re & x"),
    "E15": (b"a\\\\b", STANDARD, "a\\\\b"),
    "E15-alone": (b"\\\\", STANDARD, "\\\\"),
    "E16": (b"a\\P\\b", rb"|^~\&#", "a#b"),
    "E16-no-truncation": (b"a\\P\\b", STANDARD, "a\\P\\b"),
    "E17": (rb"\E\X09\E" + b"\\", STANDARD, "\\X09\\"),
    "NUL": (b"a\\X00\\b", STANDARD, "a\0b"),
    "unicode": ("né\\T\\żó".encode(), STANDARD, "né&żó"),
}


@pytest.mark.parametrize(("sent", "delimiters", "text"), CASES.values(), ids=CASES)
def test_an_escape_says_its_text(
    door: ModuleType, sent: bytes, delimiters: bytes, text: str
) -> None:
    assert escape.decode(sent, delimiters) == text
    field, encoding = delimiters[:1], delimiters[1:]
    raw = field.join([b"MSH" + field + encoding, b"LAB\rOBX", b"1", sent, b"last"])
    assert door.open_message(raw).get("OBX-2") == text


ENCODED = {
    "E20": (r"| ^ & ~ " + "\\", STANDARD, r"\F\ \S\ \T\ \R\ \E" + "\\"),
    "E20-foreign": ("!@#$%|", b"!@#$%", "$F$$S$$R$$E$$T$|"),
    "E21-CR": ("a\rb", STANDARD, r"a\X0D\b"),
    "E21-LF": ("a\nb", STANDARD, r"a\X0A\b"),
    "E22": ("GLUCOSE^1H POST 75 G", STANDARD, r"GLUCOSE\S\1H POST 75 G"),
    "E23": (r"a\.br\b", STANDARD, r"a\E\.br\E\b"),
    "E24": ("|", STANDARD, "\\F\\"),
    "E25": ("á–漢", STANDARD, "á–漢"),
    "D8": ("Truncation#escape", STANDARD, "Truncation#escape"),
    "D8-truncation": ("Truncation#escape", rb"|^~\&#", r"Truncation\P\escape"),
    "framing": ("a\x0bb\x1cc", STANDARD, r"a\X0B\b\X1C\c"),
}


@pytest.mark.parametrize(("text", "delimiters", "encoded"), ENCODED.values(), ids=ENCODED)
def test_text_is_encoded_so_that_it_may_stand_in_a_field(
    text: str, delimiters: bytes, encoded: str
) -> None:
    assert escape.encode(text, delimiters) == encoded
    assert escape.decode(encoded.encode(), delimiters) == text  # E26


@pytest.mark.parametrize(
    ("charset", "sent", "text"),
    [
        ("iso8859-15", b"\\XA4\\", "€"),
        ("cp1252", b"\\X96\\", "–"),
        ("iso8859-5", b"\\XB0\\\\XD0\\", "Аа"),
        ("gb18030", b"\\XD6D0\\", "中"),
        ("utf-8", b"\\XFF\\", "ÿ"),
        ("cp1252", b"\\X81\\", "\x81"),
        ("utf-16", b"\\X0D0A\\", "\r\n"),
        ("utf-16-le", b"\\X0D\\\\X0A\\", "\r\n"),
    ],
)
def test_hexadecimal_is_read_in_the_charset_of_the_message(
    charset: str, sent: bytes, text: str
) -> None:
    """E6. In a UTF-16 message it is read as UTF-8: escapes name single bytes."""
    assert escape.decode(sent, STANDARD, charset) == text


def test_a_value_with_ten_thousand_escapes_is_read_in_one_pass() -> None:
    assert escape.decode(b"\\T\\" * 10_000, STANDARD) == "&" * 10_000
    assert escape.decode(b"\\" * 10_000, STANDARD) == "\\" * 10_000
    assert escape.decode(b"\\X41\\" * 10_000, STANDARD) == "A" * 10_000
