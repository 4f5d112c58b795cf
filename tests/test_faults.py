"""The faults this daemon has to survive, by number, and the tests that do each of them to it.

Over all of them goes the accounting (tests/process/accounting), which is what finds the faults that
nobody has thought of.
"""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent


class Fault(NamedTuple):
    """What happens, and file::test of each test of it; without one, why there is none."""

    what: str
    tests: str
    why: str = ""


CRASHES, OUTAGES = "process/test_crashes.py::test_", "process/test_outages.py::test_"
SUPERVISOR, DAEMON = "process/test_supervisor.py::test_", "process/test_daemon.py::test_"
MLLP, LIMITS = "process/test_mllp.py::test_", "integration/test_http_limits.py::test_"
POSTGRES, SQLITE = "store/test_postgres_faults.py::test_", "store/test_sqlite_faults.py::test_"
SINKS, COURIER = "integration/test_sinks.py::test_", "unit/test_courier.py::test_"
GATE, LETTERS = "integration/test_http_gate.py::test_", "store/test_letters.py::test_"
JOURNAL, DEAD = "integration/test_journal.py::test_", "integration/test_dead_letters.py::test_"
STORED, REPLAY = "store/test_journal.py::test_", "store/test_replay.py::test_"
OAUTH, BREAKER = "unit/test_oauth.py::test_", "unit/test_breaker.py::test_"
LOGS, AROUND = "process/test_logs.py::test_", "process/test_surroundings.py::test_"
ACCOUNT = "process/accounting/test_accounting.py::test_what_was_promised_is_kept"

FAULTS = {
    1: Fault(
        "a worker is killed amid a message",
        f"{DAEMON}killed_worker_costs_its_own_clients_one_reset_and_nobody_else "
        f"{SUPERVISOR}killed_worker_is_replaced_and_the_others_stay "
        f"{JOURNAL}what_was_answered_survives_the_death_of_all {ACCOUNT}",
    ),
    2: Fault(
        "a worker is killed between commit and answer",
        f"{CRASHES}killed_between_commit_and_answer_it_answers_the_repeat_and_delivers_once "
        f"{CRASHES}an_acknowledgment_that_was_not_sent_is_sent_to_the_repeat",
    ),
    3: Fault(
        "a worker is killed between a delivery and its mark",
        f"{CRASHES}killed_between_a_delivery_and_its_mark_it_delivers_again_under_the_same_key "
        f"{CRASHES}killed_between_a_delivery_and_the_answer_the_repeat_has_the_same_key",
    ),
    4: Fault(
        "a worker dies in C code",
        f"{CRASHES}a_message_of_which_workers_die_is_given_up_and_the_next_goes_on "
        "process/test_crew.py::test_cause_is_one_of_few_labels",
    ),
    5: Fault(
        "a worker grows without end",
        "",
        "memory is flat over a million messages (docs/performance.md); a container's limit kills "
        "the worker, which is fault 1",
    ),
    6: Fault(
        "SIGTERM with requests under way",
        f"{DAEMON}begun_requests_are_answered_in_a_drain "
        f"{MLLP}a_drain_answers_the_frame_that_has_begun_and_closes "
        f"{GATE}no_request_sent_before_the_drain_is_reset",
    ),
    7: Fault(
        "a second SIGTERM, or SIGQUIT",
        f"{SUPERVISOR}second_signal_ends_it_at_once {SUPERVISOR}quit_ends_it_at_once",
    ),
    8: Fault("the supervisor is killed", f"{SUPERVISOR}nothing_outlives_a_killed_supervisor"),
    9: Fault(
        "a crash loop",
        "process/test_crew.py::test_crash_loop_waits_ever_longer_up_to_a_limit "
        f"{SUPERVISOR}workers_that_cannot_boot_end_it_with_status_3",
    ),
    10: Fault("children without number", f"{SUPERVISOR}one_worker_more_and_less_but_never_none"),
    11: Fault("a worker is stopped", f"{SUPERVISOR}stopped_worker_is_aborted_and_replaced"),
    12: Fault(
        "an event loop that does not turn",
        f"{SUPERVISOR}hung_worker_leaves_its_stack {GATE}a_worker_that_hangs_is_not_waited_for",
    ),
    13: Fault(
        "waiting for each other",
        f"{POSTGRES}one_connection_is_enough_for_everything_at_once "
        "integration/test_mllp_trouble.py::"
        "test_a_message_that_runs_too_long_is_cut_off_and_not_answered",
    ),
    14: Fault("the port is taken", f"{DAEMON}port_in_use_is_one_line_and_status_2"),
    15: Fault(
        "no descriptor is left",
        f"{GATE}without_descriptors_clients_wait_and_the_worker_rests "
        f"{GATE}past_its_cap_a_worker_says_so_and_serves_on",
    ),
    16: Fault("ten thousand idle connections", "", "measured by `make bench`, not tested"),
    17: Fault(
        "slow clients",
        f"{LIMITS}a_slow_header_is_cut_off_and_others_do_not_notice "
        f"{LIMITS}a_slow_body_is_cut_off {LIMITS}a_client_that_reads_nothing_is_cut_off",
    ),
    18: Fault(
        "too large",
        f"{LIMITS}a_body_past_the_limit_is_refused_before_it_is_sent "
        f"{LIMITS}a_header_without_end_is_refused {LIMITS}a_long_target_is_refused",
    ),
    19: Fault(
        "chunks that are mostly framing",
        f"{LIMITS}one_byte_chunks_without_end_are_refused "
        f"{LIMITS}a_chunk_extension_without_end_is_refused",
    ),
    20: Fault("compressed bombs", "", "no Content-Encoding is taken: 415"),
    21: Fault(
        "a peer that has vanished",
        f"{LIMITS}an_idle_connection_is_closed {MLLP}a_silent_connection_is_closed",
    ),
    22: Fault("a frame without end", f"{MLLP}a_frame_without_end_is_closed_without_an_answer"),
    23: Fault(
        "garbage around frames",
        f"{MLLP}reading_begins_again_after_garbage_and_after_a_restart "
        f"{MLLP}half_a_frame_at_the_end_is_not_acknowledged "
        "process/test_mllp_tls.py::test_tls_on_a_plain_port_is_refused_at_once",
    ),
    24: Fault(
        "a peer that leaves before its acknowledgment",
        f"{MLLP}a_message_is_carried_out_although_its_sender_has_gone",
    ),
    25: Fault(
        "a flood of pipelined requests",
        f"{LIMITS}a_flood_of_pipelined_requests_is_answered_in_order "
        f"{MLLP}a_thousand_pipelined_messages_are_answered_in_their_order",
    ),
    26: Fault(
        "a destination that hangs",
        f"{COURIER}a_destination_that_hangs_takes_up_its_own_places_only "
        f"{COURIER}a_call_has_its_time_and_then_it_is_over {ACCOUNT}",
    ),
    27: Fault(
        "a destination that fails",
        f"{COURIER}it_tries_again_and_tells_how_often {SINKS}what_a_webhook_is_answered_counts",
    ),
    28: Fault(
        "Retry-After, also absurd",
        f"{SINKS}retry_after_is_read_in_both_forms_and_nonsense_is_not "
        f"{COURIER}the_wait_grows_and_the_destination_has_the_last_word_within_bounds",
    ),
    29: Fault(
        "a destination that refuses",
        f"{COURIER}what_fails_for_good_is_tried_once {SINKS}what_a_webhook_is_answered_counts",
    ),
    30: Fault(
        "an answer that breaks off or is none",
        f"{SINKS}only_a_transaction_response_confirms "
        f"{COURIER}what_may_have_arrived_is_repeated_only_where_a_repeat_is_known {ACCOUNT}",
    ),
    31: Fault("a name that leads nowhere", f"{SINKS}a_destination_that_is_not_there_is_told"),
    32: Fault(
        "certificates",
        "integration/test_webhook_tls.py::test_a_stranger_gets_nothing "
        "integration/test_webhook_tls.py::test_a_certificate_for_another_name_is_a_strangers "
        f"{SINKS}a_destination_that_speaks_no_tls_is_not_asked_again",
    ),
    33: Fault(
        "tokens",
        f"{OAUTH}many_who_wait_ask_once {OAUTH}a_refused_token_is_asked_for_again_once "
        f"{OAUTH}an_endpoint_that_is_down_costs_nothing_while_the_token_lives",
    ),
    34: Fault(
        "a breaker that flaps",
        f"{BREAKER}half_open_lets_one_probe_through_at_a_time "
        f"{BREAKER}a_failed_probe_opens_it_for_the_whole_pause_again",
    ),
    35: Fault(
        "everybody tries again at once",
        f"{COURIER}repeats_are_a_share_of_the_first_tries "
        f"{COURIER}a_wait_is_random_down_to_nothing",
    ),
    36: Fault(
        "Postgres is down at the start", f"{OUTAGES}postgres_is_waited_for_at_the_start_or_not"
    ),
    37: Fault(
        "Postgres dies in the middle",
        f"{OUTAGES}while_postgres_is_away_nothing_is_promised_that_needs_it "
        f"{POSTGRES}nothing_acknowledged_is_lost_when_it_crashes_again_and_again "
        f"{POSTGRES}sessions_that_are_ended_are_made_again {ACCOUNT}",
    ),
    38: Fault(
        "nobody knows whether it was committed",
        f"{POSTGRES}a_commit_that_is_not_confirmed_is_not_answered_but_may_be_found "
        f"{OUTAGES}a_bad_way_to_postgres_costs_no_message_and_no_restart {ACCOUNT}",
    ),
    39: Fault(
        "no connection is free", f"{POSTGRES}one_connection_is_enough_for_everything_at_once"
    ),
    40: Fault(
        "Postgres only reads",
        f"{OUTAGES}a_database_that_only_reads_is_told_as_such "
        f"{POSTGRES}a_server_that_only_reads_is_not_ready",
    ),
    41: Fault("the disk is full", f"{SQLITE}a_full_disk_is_no_promise_and_recovers_by_itself"),
    42: Fault(
        "Postgres is slow", f"{POSTGRES}a_slow_server_is_not_waited_for_without_end {ACCOUNT}"
    ),
    43: Fault("the disk says that it failed", f"{SQLITE}an_error_of_the_disk_is_no_promise"),
    44: Fault(
        "neither delivered nor kept",
        f"{DEAD}what_can_be_neither_delivered_nor_kept_is_not_promised "
        f"{OUTAGES}while_postgres_is_away_nothing_is_promised_that_needs_it "
        f"{JOURNAL}nothing_passes_a_message_whose_dead_letter_is_not_written",
    ),
    45: Fault(
        "several write to one file",
        f"{SQLITE}no_writer_of_several_starves_or_is_refused "
        f"{SQLITE}a_stranger_that_holds_the_file_is_not_waited_for_without_end",
    ),
    46: Fault(
        "the file is damaged",
        f"{SQLITE}a_damaged_file_is_refused_and_left_as_it_is "
        f"{DEAD}a_damaged_store_is_told_and_left_as_it_is",
    ),
    47: Fault(
        "a schema of another release",
        f"{POSTGRES}a_database_of_a_newer_release_is_refused "
        f"{POSTGRES}several_processes_may_make_the_schema_at_once "
        f"{SQLITE}a_database_of_a_newer_release_is_refused",
    ),
    48: Fault(
        "a message that workers die of",
        f"{CRASHES}a_message_of_which_workers_die_is_given_up_and_the_next_goes_on "
        f"{STORED}what_is_given_back_has_not_been_tried",
    ),
    49: Fault(
        "a replay delivers twice",
        f"{DEAD}dead_letters_survive_and_a_replay_delivers_them_once",
    ),
    50: Fault(
        "two replays at once",
        f"{DEAD}two_replays_at_once_deliver_each_letter_once "
        f"{LETTERS}every_letter_is_taken_by_one_of_two_replayers {ACCOUNT}",
    ),
    51: Fault(
        "a replay is killed, or slow",
        f"{REPLAY}what_a_replay_that_died_had_in_hand_comes_back_with_its_lease "
        f"{REPLAY}a_slow_replay_keeps_its_letters",
    ),
    52: Fault(
        "the clock jumps",
        f"{STORED}a_clock_that_jumps_ends_no_lease_and_forgets_no_message",
    ),
    53: Fault(
        "HUP with a bad file",
        f"{DAEMON}faulty_workflow_is_refused_and_the_old_one_stays "
        "process/test_reload.py::test_a_bad_file_is_told_once_and_the_old_one_runs_on",
    ),
    54: Fault("HUP under load", f"{DAEMON}reload_under_load_breaks_no_request {ACCOUNT}"),
    55: Fault(
        "two releases over one database",
        "",
        "there is one release yet; a newer schema is refused (fault 47)",
    ),
    56: Fault("the folder of the metrics", "", "metrics live in shared memory: there is no folder"),
    57: Fault(
        "a scrape that nobody reads",
        f"{AROUND}a_scrape_that_nobody_reads_holds_up_no_other "
        f"{SUPERVISOR}traffic_does_not_notice_the_death_of_operations",
    ),
    58: Fault(
        "nobody reads the log",
        f"{LOGS}daemon_whose_log_nobody_reads_goes_on {LOGS}full_device_drops_and_counts "
        f"{LOGS}daemon_whose_log_reader_leaves_goes_on",
    ),
    59: Fault("no home, no temporary files", f"{AROUND}it_needs_no_home_and_no_temporary_files"),
    60: Fault(
        "the first process",
        f"{AROUND}as_the_first_process_it_reaps_and_ends_when_told "
        f"{SUPERVISOR}strangers_are_reaped",
    ),
    61: Fault(
        "the disk of a file action",
        f"{SINKS}a_full_disk_leaves_no_half_line "
        f"{SINKS}a_folder_that_is_gone_is_a_failure_to_try_again",
    ),
    62: Fault(
        "a program that hangs",
        f"{SINKS}a_program_that_hangs_is_killed_with_all_it_has_started",
    ),
    63: Fault(
        "a mail server in the way",
        "integration/test_email.py::test_what_the_server_answers_counts_and_nobody_gets_half "
        "integration/test_email.py::test_no_server_is_a_failure_to_try_again",
    ),
    64: Fault(
        "something made before the fork",
        f"{SUPERVISOR}nothing_before_the_fork_starts_a_thread_or_a_loop "
        f"{DAEMON}supervisor_has_neither_thread_nor_loop",
    ),
}


@cache
def _names(file: str) -> frozenset[str]:
    """The tests of a file."""
    tree = ast.parse((HERE / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_all_sixty_four_are_there() -> None:
    assert list(FAULTS) == list(range(1, 65))


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_is_done_to_it_or_told_why_not(number: int) -> None:
    fault = FAULTS[number]
    assert bool(fault.tests) != bool(fault.why)
    for each in fault.tests.split():
        file, _, name = each.partition("::")
        assert name in _names(file), each
