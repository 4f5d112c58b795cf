"""Delimiters, MSH and the order of segments. Test ids are rows of docs/parser-decisions.md."""

from types import ModuleType

import pytest

from fifhir.errors import MessageError

HEAD = rb"MSH|^~\&|LAB|NORTH|EHR|SOUTH|20240102||ORU^R01^ORU_R01|7|P|2.5"
CASES = {
    "D1": (HEAD, "MSH-1", "|"),
    "D2": (HEAD, "MSH-2", r"^~\&"),
    "D2-component": (HEAD, "MSH-2.1", r"^~\&"),
    "D2-second-component": (HEAD, "MSH-2.2", ""),
    "D3": (HEAD, "MSH-9", "ORU"),
    "D3-trigger": (HEAD, "MSH-9.2", "R01"),
    "D3-last": (HEAD, "MSH-12", "2.5"),
    "D5": (rb"MSH^~|\&^HDRV^552~1^EHR^^2024^^ORU~R01^9^T^2.4", "MSH-9.2", "R01"),
    "D6": (b"MSH@~&#\\@A@B@C@D@E@@ADT~A01@7\rPID@1@@x\\y~z#T#~#F#", "PID-3.2", "z\\"),
    "D6-subcomponent": (b"MSH@~&#\\@A@B@C@D@E@@ADT~A01@7\rPID@1@@x\\y~z#T#~#F#", "PID-3.1.2", "y"),
    "D6-field": (b"MSH@~&#\\@A@B@C@D@E@@ADT~A01@7\rPID@1@@x\\y~z#T#~#F#", "PID-3.3", "@"),
    "D7": (rb"MSH|^~\&#|LAB|||||||7|P|2.7", "MSH-2", r"^~\&#"),
    "D7-third-field": (rb"MSH|^~\&#|LAB|||||||7|P|2.7", "MSH-3", "LAB"),
    "D16": (rb"MSH|^~\&|LAB||||||ADT^|", "MSH-9", "ADT"),
    "D16-no-version": (rb"MSH|^~\&|LAB||||||ADT^|", "MSH-12", ""),
    "D17": (rb"MSH|^~\&|LAB||||||ADT^A01|7|P|2.2^x^x", "MSH-12", "2.2"),
    "D18": (rb"MSH|^~\&|LAB||||||ADT^A01|7|P|2.999", "MSH-12", "2.999"),
    "D20": (HEAD, "MSA-2", ""),
    "D21": (HEAD + b"\rI|||13198751\rPID|1", "PID-1", "1"),
    "D22": (HEAD + b"\rEVN|A01\rZZZ|aaa\rPID|1", "ZZZ-1", "aaa"),
    "D24": (HEAD + b"\rEVN|\rPID|1", "EVN-1", ""),
    "D24-no-delimiter": (HEAD + b"\rEVN\rPID|1", "EVN-1", ""),
    "D25": (rb"MSH|^~\&|LAB||||||ADT^A01^ADT_A01^x&y|7|P|2.5|||||||||||more", "MSH-9.4.2", "y"),
    "D25-field": (rb"MSH|^~\&|LAB||||||ADT^A01|7|P|2.5|||||||||||more", "MSH-23", "more"),
}
REFUSED = {
    "D9-two": (b"MSH|^~|LAB", "bad_delimiters"),
    "D9-three": (b"MSH|^~\\|LAB", "bad_delimiters"),
    "D9-other": (b"MSH|@%\\|LAB", "bad_delimiters"),
    "D10": (b"MSH|@%\\&$?!|LAB", "bad_delimiters"),
    "D11-components": (b"MSH|^&&^|LAB", "bad_delimiters"),
    "D11-all": (b"MSH|^^^^|LAB", "bad_delimiters"),
    "D11-field": (b"MSH|^~\\||LAB", "bad_delimiters"),
    "D12": (b"MSH||||LAB", "bad_delimiters"),
    "D13-nothing": (b"", "no_msh"),
    "D13-M": (b"M", "no_msh"),
    "D13-MS": (b"MS", "no_msh"),
    "D13-MSH": (b"MSH", "short_msh"),
    "D13-MSH|": (b"MSH|", "short_msh"),
    "D13-CR": (b"\r", "no_msh"),
    "D13-M-CR": (b"M\r", "no_msh"),
    "D13-MSH|-CR": (b"MSH|\r", "short_msh"),
    "D14-blanks": (b"   ", "no_msh"),
    "D14-NOTMSH": (b"NOTMSH", "no_msh"),
    "D14-MSQ": (b"MSQ|||", "no_msh"),
    "D14-abc": (b"abc", "no_msh"),
    "D14-LF": (b"\n", "no_msh"),
    "D15": (rb"PID|^~\&|1||123", "no_msh"),
    "letter": (b"MSH|^~\\A|LAB", "bad_delimiters"),
    "digit": (b"MSH1^~\\&1LAB", "bad_delimiters"),
    "blank": (b"MSH ^~\\& LAB", "bad_delimiters"),
    "quote": (b'MSH|^~\\"|LAB', "bad_delimiters"),
    "control": (b"MSH\x01^~\\&\x01LAB", "bad_delimiters"),
    "not-ascii": ("MSH|^~\\é|LAB".encode(), "bad_delimiters"),
    "CR": (b"MSH\r^~\\&\rLAB|||||", "bad_delimiters"),
    "ended": (b"MSH|^~\rPID|1||x", "bad_delimiters"),
}


@pytest.mark.parametrize(("raw", "where", "text"), CASES.values(), ids=CASES)
def test_a_path_reads_what_the_message_says(
    door: ModuleType, raw: bytes, where: str, text: str
) -> None:
    assert door.open_message(raw).get(where) == text


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_is_refused(door: ModuleType, raw: bytes, reason: str) -> None:
    with pytest.raises(MessageError) as refusal:
        door.open_message(raw)
    assert refusal.value.reason == reason
    assert refusal.value.location in ("MSH", "MSH-2")


D4 = b"MSH$%~\\&$GHH LAB\rPID$$$555-44-4444$$EVERYWOMAN%EVE%E%%%L\r"


def test_foreign_delimiters_divide_and_survive_encoding(door: ModuleType) -> None:
    """D4."""
    message = door.open_message(D4)
    name = [message.get(f"PID-5.{n}") for n in range(1, 7)]
    assert name == ["EVERYWOMAN", "EVE", "E", "", "", "L"]
    assert message.encode() == D4


@pytest.mark.parametrize("sent", ["ADT^A01^ADT_A01", "ADT^A01", "^^^", "^^ADT_A01"])
def test_the_message_type_is_returned_as_sent(door: ModuleType, sent: str) -> None:
    """D19."""
    raw = rf"MSH|^~\&|LAB||||||{sent}|7".encode()
    assert door.open_message(raw).sent("MSH-9") == sent


ROUND_TRIPS = {
    "D7": b"MSH|^~\\&#|LAB|||||||7|P|2.7\rPID|1#|a#b\r",
    "D22": HEAD + b"\rEVN|A01\rZZZ|aaa\rPID|1\r",
    "D23": HEAD + b"\rPID|1||A\rPID|2||B\rOBX|1\r",
    "D24": HEAD + b"\rEVN|\rPID\rPV1||||\r",
    "D25": HEAD + b"\rPID|1||A^^^^^^^^^^^^extra|||||||||||||||||||||||||||||||||||||||||||x\r",
}


@pytest.mark.parametrize("raw", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_encoding_gives_back_every_byte_in_order(door: ModuleType, raw: bytes) -> None:
    assert door.open_message(raw).encode() == raw


def test_segments_keep_their_order_whatever_their_name(door: ModuleType) -> None:
    message = door.open_message(HEAD + b"\rZZZ|a\rI|b\rPID|1\rpid|2\rPID|3\r|4\rOBXX|5")
    names = [message.name(at) for at in range(len(message))]
    assert names == [b"MSH", b"ZZZ", b"I", b"PID", b"pid", b"PID", b"", b"OBXX"]


def test_two_segments_of_a_name_are_told_apart(door: ModuleType) -> None:
    """D23."""
    message = door.open_message(HEAD + b"\rPID|1||A\rPID|2||B")
    assert [message.get("PID(1)-3"), message.get("PID(2)-3"), message.get("PID(3)-3")] == [
        "A",
        "B",
        "",
    ]


def test_an_empty_segment_has_no_values(door: ModuleType) -> None:
    """D24."""
    message = door.open_message(HEAD + b"\rEVN|\rPID\rPV1||||")
    assert [message.fields(at) for at in range(1, 4)] == [1, 0, 4]
    assert {message.text(at, field) for at in range(1, 4) for field in range(1, 6)} == {""}


@pytest.mark.parametrize("raw", [b"MSH|^~\\|SECRET\rPID|1||SECRET", b"SECRET|MSH|x", b"MSH|SECRET"])
def test_a_refusal_holds_nothing_that_was_sent(door: ModuleType, raw: bytes) -> None:
    """D26: not even the MSH, whose fields a broken sender may have shifted patient data into."""
    with pytest.raises(MessageError) as refusal:
        door.open_message(raw)
    fault = refusal.value
    assert "SECRET" not in f"{fault} {fault.reason} {fault.location} {fault.args}"


def test_a_delimiter_that_does_not_delimit_is_text(door: ModuleType) -> None:
    """D8: `#` is no truncation delimiter here."""
    message = door.open_message(HEAD + b"\rPID|1||Trunc#ation")
    assert message.get("PID-3") == "Trunc#ation"


def test_a_message_is_as_large_as_the_limit_and_no_larger(door: ModuleType) -> None:
    limit = 64 * 1024 * 1024
    most = HEAD + b"\rOBX|1|ST|||" + b"x" * (limit - len(HEAD) - 12)
    assert len(door.open_message(most).sent("OBX-5")) == limit - len(HEAD) - 12
    with pytest.raises(MessageError) as refusal:
        door.open_message(most + b"x")
    assert refusal.value.reason == "message_too_large"


def test_a_million_fields_are_the_limit(door: ModuleType) -> None:
    with pytest.raises(MessageError) as refusal:
        door.open_message(HEAD + b"\rOBX" + b"|" * 1_000_000)
    assert refusal.value.reason == "too_many_fields"
    with pytest.raises(MessageError) as refusal:
        door.open_message(HEAD + b"\rX" * 1_000_000)
    assert refusal.value.reason == "too_many_fields"


@pytest.mark.parametrize("sent", [rb"^~\\&", b"^~&"])
def test_a_damaged_msh_2_is_mended_only_where_that_is_allowed(
    door: ModuleType, sent: bytes
) -> None:
    """D9, D11: the two ways the standard delimiters are known to be mangled on their way."""
    raw = b"MSH|" + sent + rb"|LAB|||||||7" + b"\rPID|1||A^b&c~D|x \\T\\ y\r"
    with pytest.raises(MessageError):
        door.open_message(raw)
    message = door.open_message(raw, mend=True)
    assert message.delimiters == rb"|^~\&"
    assert message.liberties == ("NON_STANDARD_DELIMITERS",)
    assert [message.get(where) for where in ("PID-3.2.2", "PID-3(2)", "PID-4", "MSH-10")] == [
        "c",
        "D",
        "x & y",
        "7",
    ]
    assert message.get("MSH-2").encode() == sent
    assert message.encode() == raw


@pytest.mark.parametrize("sent", [b"^~\\", b"~\\&", b"^\\&", b"&&&&", b"^~\\\\\\&", b"^^~&", b""])
def test_other_damage_is_never_guessed_at(door: ModuleType, sent: bytes) -> None:
    with pytest.raises(MessageError):
        door.open_message(b"MSH|" + sent + b"|LAB|||||||7\rPID|1||A", mend=True)
