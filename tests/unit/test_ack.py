"""Acknowledgments: whose bytes they repeat, which code is due, what a refusal says and where."""

import pytest

from fifhir import ack
from fifhir.errors import MessageError

ORU = (
    b"MSH|^~\\&|LAB^1.2.3^ISO|WEST|EHR|EAST|20260302070000||ORU^R01^ORU_R01|MSG0001|P|2.5.1\r"
    b"PID|1||9001^^^WEST^MR||TEAPOT^HAZEL\r"
)
WRONG = MessageError("missing_segment", "PID segment not found", location="PID", code="100")
FIELD = MessageError("bad", "a fixed text", location="OBX(2)-5(3).1", code="102")


def msh(**fields: str) -> bytes:
    """An MSH in which the fields named so, `f10="x"`, are these."""
    values = ORU.split(b"\r")[0].split(b"|") + [b""] * 8
    for name, value in fields.items():
        values[int(name[1:]) - 1] = value.encode()
    return b"|".join(values) + b"\rPID|1||9001\r"


def answer(
    raw: bytes, code: str = "AA", wrong: MessageError | None = None, **signed: object
) -> list[bytes]:
    """The segments of an acknowledgment."""
    made = ack.encode(
        ack.header(raw),
        code,
        wrong,
        written="20260302070001+0000",
        control_id="A" * 20,
        signature=ack.Signature(**signed),  # type: ignore[arg-type]
    )
    assert made.endswith(b"\r")
    return made[:-1].split(b"\r")


def due(raw: bytes, wrong: MessageError | None = None, mode: ack.Mode = "auto") -> tuple[str, ...]:
    return ack.codes(ack.header(raw), wrong, mode)


def test_the_answer_turns_sender_and_receiver_round() -> None:
    assert answer(ORU) == [
        b"MSH|^~\\&|EHR|EAST|LAB^1.2.3^ISO|WEST|20260302070001+0000||ACK^R01^ACK|"
        + b"A" * 20
        + b"|P|2.5.1",
        b"MSA|AA|MSG0001",
    ]


def test_code_control_id_application_and_facility_are_taken_as_given() -> None:
    head, msa = answer(ORU, "AE", application=b"OURS", facility=b"HERE")
    assert head.split(b"|")[2:4] == [b"OURS", b"HERE"]
    assert head.split(b"|")[9] == b"A" * 20
    assert msa == b"MSA|AE|MSG0001"


@pytest.mark.parametrize("version", ["2.1", "2.3.1", "2.5", "2.6", "2.5^DEU"])
def test_the_answer_has_the_senders_version(version: str) -> None:
    assert answer(msh(f12=version))[0].split(b"|")[11] == version.encode()


def test_a_sender_without_a_version_gets_the_highest() -> None:
    assert answer(msh(f12=""))[0].split(b"|")[11] == ack.HIGHEST_VERSION


def test_a_message_without_a_trigger_is_answered_by_a_plain_ack() -> None:
    assert answer(msh(f9="ORU"))[0].split(b"|")[8] == b"ACK"
    assert answer(msh(f9="ORU^something long"))[0].split(b"|")[8] == b"ACK"


def test_the_answer_has_the_senders_delimiters() -> None:
    sent = ORU.translate(bytes.maketrans(b"|^~\\&", b"#@*?!"))
    head, msa, err = answer(sent, "AE", FIELD)
    assert head.startswith(b"MSH#@*?!#EHR#EAST#LAB@1.2.3@ISO#WEST#")
    assert b"#ACK@R01@ACK#" in head
    assert msa == b"MSA#AE#MSG0001#a fixed text"
    assert err.startswith(b"ERR##OBX@2@5@3@1#102@Data type error@HL70357#E")


def test_our_own_text_escapes_the_senders_delimiters() -> None:
    sent = ORU.replace(b"^", b"t").replace(b"\\", b"/")
    assert ack.header(sent).delimiters == b"|^~\\&"  # a letter is no delimiter
    odd = MessageError("x", "a^b|c&d\\e~f", location="MSH")
    assert answer(ORU, "AE", odd)[1] == rb"MSA|AE|MSG0001|a\S\b\F\c\T\d\E\e\R\f"


@pytest.mark.parametrize("sent", [b"|^~&|", b"|^~\\\\&|"])
def test_damaged_delimiters_are_answered_with_what_they_stood_for(sent: bytes) -> None:
    head = answer(ORU.replace(b"|^~\\&|", sent, 1))[0]
    assert head.startswith(b"MSH|^~\\&|EHR|")


def test_the_answer_names_and_has_the_senders_character_set() -> None:
    sent = msh(f3="LABØR", f18="8859/1").decode().encode("iso8859-1")
    head = answer(sent)[0]
    assert head.split(b"|")[4] == "LABØR".encode("iso8859-1")
    assert head.split(b"|")[17] == b"8859/1"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_answered_in_utf_16(codec: str) -> None:
    head = ack.header(msh(f3="ЛАБ").decode().encode(codec))
    made = ack.encode(head, "AA", written="2026", control_id="1").decode(codec)
    assert "|EHR|EAST|ЛАБ|WEST|" in made
    assert made.endswith("MSA|AA|MSG0001\r")


@pytest.mark.parametrize(
    ("name", "codec"), [("ISO IR87", "iso2022_jp"), ("GB 18030-2000", "gb18030"), ("BIG-5", "big5")]
)
def test_no_half_of_a_character_is_taken_for_a_delimiter(name: str, codec: str) -> None:
    name = f"~{name}" if codec == "iso2022_jp" else name
    application = "弌" if codec == "iso2022_jp" else "功"
    sent = msh(f3=application, f18=name).decode().encode(codec)
    made = ack.encode(ack.header(sent), "AA", written="2026", control_id="1").decode(codec)
    assert f"|EHR|EAST|{application}|WEST|" in made
    assert made.endswith("MSA|AA|MSG0001\r")


@pytest.mark.parametrize("control_id", ["1", "00042", " 7 ", "a^b~c", "ID\\F\\1", "Ünïcode", '1"'])
def test_msa_2_is_the_control_id_byte_by_byte(control_id: str) -> None:
    assert answer(msh(f10=control_id))[1] == b"MSA|AA|" + control_id.encode()


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
def test_any_segment_ending_is_read(ending: bytes) -> None:
    assert answer(ORU.replace(b"\r", ending))[1] == b"MSA|AA|MSG0001"


@pytest.mark.parametrize("control_id", ["", '""', " "])
def test_without_a_control_id_nothing_is_acknowledged(control_id: str) -> None:
    head = ack.header(msh(f10=control_id))
    wrong = ack.fault(head)
    assert wrong
    assert (wrong.location, wrong.code) == ("MSH-10", "101")
    assert due(msh(f10=control_id), wrong) == ("AE",)
    _, msa, err = answer(msh(f10=""), "AE", wrong)
    assert msa == b"MSA|AE||MSH-10 is empty"
    assert err == b"ERR||MSH^1^10|101^Required field missing^HL70357|E||||MSH-10 is empty"


@pytest.mark.parametrize("control_id", ["a\x1c", "a\x0bb", "a\0", "x" * 257])
def test_a_control_id_that_would_break_the_answer_is_not_repeated(control_id: str) -> None:
    raw = msh(f10=control_id)
    wrong = ack.fault(ack.header(raw))
    assert wrong
    assert (wrong.location, wrong.code) == ("MSH-10", "102")
    assert answer(raw, "AE", wrong)[1] == b"MSA|AE||MSH-10 is too long or holds control characters"


def test_fields_that_would_break_the_answer_are_left_out() -> None:
    head, msa = answer(msh(f3="a\x1c", f4="b\0", f5="c" * 257))
    assert head.split(b"|")[2:6] == [b"", b"EAST", b"", b""]
    assert msa == b"MSA|AA|MSG0001"


def test_a_message_without_a_type_is_rejected() -> None:
    wrong = ack.fault(ack.header(msh(f9="")))
    assert wrong
    assert (wrong.location, wrong.code) == ("MSH-9", "200")
    assert due(msh(f9=""), wrong) == ("AR",)
    assert due(msh(f9="", f15="AL"), wrong) == ("CR",)


@pytest.mark.parametrize(
    "raw", [b"", b"WRONG", b"MSH", b"MSHx^~", b"PID|1\rMSH|^~\\&|A", b"\xff\xfe"]
)
def test_what_has_no_msh_is_answered_by_an_error_without_any_of_it(raw: bytes) -> None:
    wrong = ack.fault(ack.header(raw))
    assert wrong
    assert due(raw, wrong) == ("AE",)
    head, msa, _ = answer(raw, "AE", wrong)
    assert head.startswith(b"MSH|^~\\&|||||20260302070001+0000||ACK|AAAA")
    assert msa.startswith(b"MSA|AE||")


def test_a_broken_message_is_answered_as_far_as_its_msh_can_be_read() -> None:
    head, msa = answer(b"MSH|^~\\&|LAB|WEST|EHR|EAST|2026||ORU^R01|7")
    assert head.startswith(b"MSH|^~\\&|EHR|EAST|LAB|WEST|")
    assert msa == b"MSA|AA|7"


@pytest.mark.parametrize("version", ["2.2", "2.3", "2.3.1", "2.4"])
def test_before_2_5_the_error_is_in_err_1(version: str) -> None:
    _, msa, err = answer(msh(f12=version), "AE", FIELD)
    assert msa == b"MSA|AE|MSG0001|a fixed text"
    assert err == b"ERR|OBX^2^5^102&Data type error&HL70357"


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.6", "2.8", "2.10", "", "abc"])
def test_since_2_5_the_error_has_fields_of_its_own(version: str) -> None:
    _, _, err = answer(msh(f12=version), "AE", FIELD)
    assert err == b"ERR||OBX^2^5^3^1|102^Data type error^HL70357|E||||a fixed text"


def test_a_fault_of_a_whole_segment_has_no_field() -> None:
    assert answer(ORU, "AE", WRONG)[2].startswith(b"ERR||PID^1|100^Segment sequence error^HL70357")
    assert answer(msh(f12="2.3"), "AE", WRONG)[2].startswith(b"ERR|PID^1^^100&Segment sequence")


def test_without_the_error_segment_the_text_alone_is_sent() -> None:
    assert answer(ORU, "AE", WRONG, error_segment=False)[1:] == [
        b"MSA|AE|MSG0001|PID segment not found"
    ]


@pytest.mark.parametrize("code", ["200", "201", "202", "203"])
def test_what_is_not_for_us_is_rejected(code: str) -> None:
    wrong = MessageError("unsupported", "unsupported", code=code)
    assert due(ORU, wrong) == ("AR",)
    assert due(msh(f15="AL"), wrong) == ("CR",)


ASKED = [
    # MSH-15, MSH-16, answers to a good message, answers to a bad one
    ("", "", ("AA",), ("AE",)),
    ('""', '""', ("AA",), ("AE",)),
    ("AL", "", ("CA",), ("CE",)),
    ("", "AL", ("AA",), ("AE",)),
    ("AL", "AL", ("CA", "AA"), ("CE",)),
    ("AL", "NE", ("CA",), ("CE",)),
    ("NE", "AL", ("AA",), ("AE",)),
    ("NE", "NE", (), ()),
    ("NE", "", (), ()),
    ("ER", "AL", ("AA",), ("CE",)),
    ("ER", "ER", (), ("CE",)),
    ("ER", "", (), ("CE",)),
    ("NE", "ER", (), ("AE",)),
    ("SU", "NE", ("CA",), ()),
    ("SU", "SU", ("CA", "AA"), ()),
    ("SU", "ER", ("CA",), ("AE",)),
    ("al", "ne", ("CA",), ("CE",)),
    ("X", "NE", ("CA",), ("CE",)),
]


@pytest.mark.parametrize(("accept", "application", "good", "bad"), ASKED)
def test_what_is_answered_is_what_was_asked_for(
    accept: str, application: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    raw = msh(f15=accept, f16=application)
    assert due(raw) == good
    assert due(raw, WRONG) == bad


@pytest.mark.parametrize(("accept", "application", "_good", "_bad"), ASKED)
def test_a_fixed_mode_answers_once_whatever_is_asked_for(
    accept: str, application: str, _good: object, _bad: object
) -> None:
    raw = msh(f15=accept, f16=application)
    assert due(raw, mode="application") == ("AA",)
    assert due(raw, WRONG, "application") == ("AE",)
    assert due(raw, mode="enhanced") == ("CA",)
    assert due(raw, WRONG, "enhanced") == ("CE",)


@pytest.mark.parametrize(
    "raw",
    [
        msh(f9="ACK"),
        msh(f9="ACK^R01^ACK"),
        msh(f9="MCF"),
        msh(f9="ACK", f15="AL", f16="AL"),
        msh(f9="RSP^K22", f15="AL") + b"MSA|AA|1\r",
        (msh(f9="ORR^O02") + b"MSA|AA|1\r").replace(b"\r", b"\n"),
        (msh(f9="RSP^K22") + b"MSA|AA|1\r").decode().encode("utf-16"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "application", "enhanced"])
def test_an_acknowledgment_is_never_acknowledged(raw: bytes, mode: ack.Mode) -> None:
    assert due(raw, None, mode) == ()
    assert due(raw, WRONG, mode) == ()


def test_every_code_a_fault_may_have_is_in_the_table() -> None:
    assert {"0", "100", "101", "102", "103", "200", "207"} <= set(ack.CONDITIONS)
    assert set(ack.CONDITIONS) >= ack.REJECTING
