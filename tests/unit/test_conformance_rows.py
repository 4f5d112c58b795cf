"""No row of what parsers are known to differ in is without a test.

A row is in the id of a test or in what a test's file says of itself; rows of acknowledgments and
of MLLP are named here, since their tests go by what they claim.
"""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
COUNTS = {"D": 26, "L": 7, "F": 20, "C": 9, "B": 12, "T": 8, "A": 11, "M": 11}
ROWS = [f"{letter}{n}" for letter, count in COUNTS.items() for n in range(1, count + 1)]
ROWS += [f"E{n}" for n in (*range(1, 18), *range(20, 27))]
NAMED = {
    "A1": "test_the_answer_turns_sender_and_receiver_round",
    "A2": "test_code_control_id_application_and_facility_are_taken_as_given",
    "A5": "test_since_2_5_the_error_has_fields_of_its_own",
    "M1": "test_a_frame_is_its_payload",
    "M2": "test_half_a_frame_is_a_fault_at_the_end",
    "M3": "test_what_no_vt_precedes_is_no_message",
    "M4": "test_two_frames_of_one_packet_come_in_order",
    "M10": "test_nothing_is_made_of_blanks_and_nuls_between_frames",
    "M11": "test_mllp_send_of_python_hl7_is_acknowledged",
    "A3": "test_the_answer_has_the_senders_version",
    "A4": "test_the_answer_has_the_senders_delimiters",
    "A6": "test_without_the_error_segment_the_text_alone_is_sent",
    "A7": "test_what_is_not_for_us_is_rejected",
    "A8": "test_a_refusal_says_whether_the_message_is_worth_another_try",
    "A9": "test_msh_15_and_16_say_what_is_answered",
    "A10": "test_a_late_answer_is_not_taken_for_that_of_the_next_message",
    "A11": "test_an_answer_that_is_not_to_the_message_confirms_nothing",
    "B9": "test_what_is_read_as_a_single_message_would_not_be_cut",
    "M5": "test_messages_survive_any_split_of_the_stream",
    "M6": "test_half_a_frame_at_the_end_is_not_acknowledged",
    "M7": "test_frame_writes_what_feed_reads",
    "M8": "test_utf_16_is_framed_by_single_bytes",
    "M9": "test_reading_begins_again_after_garbage_and_after_a_restart",
}
SOURCES = {
    path: path.read_text("utf-8")
    for path in TESTS.glob("*/test_*.py")
    if path != Path(__file__).resolve()
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test(row: str) -> None:
    if row in NAMED:
        assert any(f"def {NAMED[row]}(" in text for text in SOURCES.values())
    else:
        parsers = [text for path, text in SOURCES.items() if "test_parser_" in path.name]
        assert any(_is_told(row, text) for text in parsers)


def _is_told(row: str, text: str) -> bool:
    """Whether a file names a row, by itself or within a range such as L1-L7."""
    letter, number = row[0], int(row[1:])
    ranges = re.findall(rf"\b{letter}(\d+)-{letter}?(\d+)\b", text)
    is_within = any(int(low) <= number <= int(high) for low, high in ranges)
    return is_within or re.search(rf"\b{row}\b", text) is not None
