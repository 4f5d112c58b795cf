"""Repetitions, components, subcomponents, null and empty. Test ids are the rows F1-F19."""

from types import ModuleType

import pytest

from fifhir import path

MSH = b"MSH|^~\\&|LAB|||||||7\r"
S = (
    MSH + b"PID|Field1|Component1^Component2|Component1^Sub-Component1&Sub-Component2^Component3"
    b"|Repeat1~Repeat2"
)
QPD = MSH + b"QPD|||@PID.3.1^aaaa~@PID.8^F"
NTE = MSH + b"NTE|a||one~two~three\rNTE|b||four"
CASES: dict[str, tuple[bytes, str, str | None]] = {
    "F1-field": (S, "PID-1", "Field1"),
    "F1-component": (S, "PID-1.1", "Field1"),
    "F1-subcomponent": (S, "PID-1.1.1", "Field1"),
    "F2-component": (S, "PID-3.2", "Sub-Component1"),
    "F2-first": (S, "PID-3.2.1", "Sub-Component1"),
    "F2-second": (S, "PID-3.2.2", "Sub-Component2"),
    "F3-subcomponent": (S, "PID-3.2.3", ""),
    "F3-component": (S, "PID-3.4", ""),
    "F3-field": (S, "MSH-20", ""),
    "F3-segment": (S, "PV1-2", ""),
    "F4": (S, "PID-1.1.2", ""),
    "F5-first": (S, "PID-4[1]", "Repeat1"),
    "F5-second": (S, "PID-4[2]", "Repeat2"),
    "F5-parentheses": (S, "PID-4(2)", "Repeat2"),
    "F5-third": (S, "PID-4(3)", ""),
    "F6-first": (MSH + b"PID||||~Repeat2", "PID-4(1)", ""),
    "F6-second": (MSH + b"PID||||~Repeat2", "PID-4(2)", "Repeat2"),
    "F7": (MSH + b"OBX|||||This~Is~A~Report~~~~~", "OBX-5(4)", "Report"),
    "F8": (rb"MSH|^~\&|one~two~three|x", "MSH-3(3)", "three"),
    "F9-first": (MSH + b"PID|||||x&y^z", "PID-5.1.1", "x"),
    "F9-second": (MSH + b"PID|||||x&y^z", "PID-5.1.2", "y"),
    "F9-component": (MSH + b"PID|||||x&y^z", "PID-5.2", "z"),
    "F10": (MSH + b"PID|4&y", "PID-1", "4"),
    "F10-extra": (MSH + b"PID|4&y", "PID-1.1.2", "y"),
    "F11-field": (MSH + b"PID|||||Smith&Booth&Jones^X^Y", "PID-5", "Smith"),
    "F11-first": (MSH + b"PID|||||Smith&Booth&Jones^X^Y", "PID-5.1.1", "Smith"),
    "F11-second": (MSH + b"PID|||||Smith&Booth&Jones^X^Y", "PID-5.1.2", "Booth"),
    "F12-first-segment": (NTE, "NTE[1]-1", "a"),
    "F12-second-segment": (NTE, "NTE[2]-1", "b"),
    "F12-first-repetition": (NTE, "NTE(1)-3(1)", "one"),
    "F12-second-repetition": (NTE, "NTE(1)-3(2)", "two"),
    "F12-other-segment": (NTE, "NTE(2)-3(1)", "four"),
    "F13-first": (QPD, "QPD-3(1).1", "@PID.3.1"),
    "F13-second": (QPD, "QPD-3(2).2", "F"),
    "F14": (MSH + b'PID|1||""||Smith^John', "PID-3", None),
    "F14-component": (MSH + b'PID|1||A^""||Smith^John', "PID-3.2", None),
    "F14-subcomponent": (MSH + b'PID|1||A^b&""', "PID-3.2.2", None),
    "F14-repetition": (MSH + b'PID|1||A~""', "PID-3(2)", None),
    "F14-quoted": (MSH + b'PID|1||"A"', "PID-3", '"A"'),
    "F14-one-quote": (MSH + b'PID|1||"', "PID-3", '"'),
    "F14-three-quotes": (MSH + b'PID|1||"""', "PID-3", '"""'),
    "F15-second": (MSH + b"PID|1||||Smith^John", "PID-2", ""),
    "F15-fourth": (MSH + b"PID|1||||Smith^John", "PID-4", ""),
    "F15-fifth": (MSH + b"PID|1||||Smith^John", "PID-5.2", "John"),
    "F17": (MSH + b"OBX|1|ST|||Blood&Plasma - Bio (Green)", "OBX-5", "Blood"),
    "F18": (MSH + b"OBX|1|MED|c||some", "OBX-5", "some"),
    "field-0": (MSH + b"PID|1", "PID-0", "PID"),
    "name-with-digits": (MSH + b"ZP1|1|x", "ZP1-2", "x"),
}


@pytest.mark.parametrize(("raw", "where", "text"), CASES.values(), ids=CASES)
def test_a_path_reads_its_leaf(door: ModuleType, raw: bytes, where: str, text: str | None) -> None:
    assert door.open_message(raw).get(where) == text


COUNTS = {
    "F5": (S, "PID-4", 2),
    "F6": (MSH + b"PID||||~Repeat2", "PID-4", 2),
    "F7": (MSH + b"OBX|||||This~Is~A~Report~~~~~", "OBX-5", 9),
    "F8": (rb"MSH|^~\&|one~two~three|x", "MSH-3", 3),
    "F13": (QPD, "QPD-3", 2),
    "F14": (MSH + b'PID|1||""', "PID-3", 1),
    "empty": (MSH + b"PID|1||", "PID-3", 0),
    "absent": (MSH + b"PID|1||", "PID-30", 0),
    "no-segment": (MSH + b"PID|1||", "PV1-3", 0),
    "verbatim": (S, "MSH-2", 1),
}


@pytest.mark.parametrize(("raw", "where", "count"), COUNTS.values(), ids=COUNTS)
def test_repetitions_are_counted_as_sent(
    door: ModuleType, raw: bytes, where: str, count: int
) -> None:
    assert door.open_message(raw).count(where) == count


SENT = {
    "F1": (S, "PID-3", "Component1^Sub-Component1&Sub-Component2^Component3"),
    "F5": (S, "PID-4", "Repeat1~Repeat2"),
    "F10": (MSH + b"PID|4&y", "PID-1", "4&y"),
    "F14": (MSH + b'PID|1||""', "PID-3", '""'),
    "F17": (
        MSH + b"OBX|1|ST|||Blood&Plasma - Bio (Green)",
        "OBX-5",
        "Blood&Plasma - Bio (Green)",
    ),
    "F19": (
        MSH + b"OBX|1|RP|||https://pacs.test/v?a=1-2\\T\\b=3^x",
        "OBX-5",
        "https://pacs.test/v?a=1-2\\T\\b=3^x",
    ),
    "component": (S, "PID-3.2", "Sub-Component1&Sub-Component2"),
    "component-of-the-first": (MSH + b"PID|1||A^x~B^y", "PID-3.2", "x"),
    "absent": (S, "PV1-3", ""),
}


@pytest.mark.parametrize(("raw", "where", "sent"), SENT.values(), ids=SENT)
def test_what_a_path_leaves_open_is_kept_whole_as_sent(
    door: ModuleType, raw: bytes, where: str, sent: str
) -> None:
    message = door.open_message(raw)
    assert message.sent(where) == sent
    assert message.encode() == raw + b"\r"


def test_text_with_a_stray_delimiter_is_read_undivided(door: ModuleType) -> None:
    """F17: OBX-5 of a plain text result keeps its unescaped ampersand."""
    message = door.open_message(MSH + b"OBX|1|ST|||Blood&Plasma - Bio (Green)")
    assert message.text(1, 5, 1, 0, 0) == "Blood&Plasma - Bio (Green)"


def test_fields_are_counted_without_padding(door: ModuleType) -> None:
    """F15, F16."""
    message = door.open_message(MSH + b"PID|1||12345\rPID|1||||Smith^John\rPID|1||")
    assert [message.fields(at) for at in range(4)] == [10, 3, 5, 3]


def test_a_message_is_read_only(door: ModuleType) -> None:
    """F20: there is no set; whoever changes a message builds another."""
    message = door.open_message(S)
    with pytest.raises((AttributeError, TypeError)):
        message.set("PID-3.9", "x")


PATHS = (
    "PID",
    "PID-",
    "pid-5",
    "PID-5-1",
    "PID5.1",
    "PIDX-5",
    "PID-5.1.1.1",
    "PID-5()",
    "",
    "-5",
    "PID-x",
)


@pytest.mark.parametrize("text", PATHS)
def test_what_is_no_path_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="not an HL7 path"):
        path.read(text)
