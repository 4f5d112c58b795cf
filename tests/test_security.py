"""The points of security, by number, and the tests that hold each of them.

Below them the tests that belong to no other file: what no code here may do at all.
"""

import ast
from functools import cache, reduce
from pathlib import Path
from typing import NamedTuple

import pytest

from fifhir import cel
from fifhir.errors import CelError, CelFault
from fifhir.ingress.bodies import FEEDS_LIMIT, Feeds
from fifhir.profile.choosing import Profiles

HERE = Path(__file__).parent
HOUSE = HERE.parent / "fifhir"


class Point(NamedTuple):
    """What is held, and file::test of each test of it; what is not done of it, and why."""

    what: str
    tests: str
    but: str = ""


ACCESS, HTTPS, JWT = (
    "integration/test_access.py::test_",
    "process/test_https.py::test_",
    "process/test_jwt.py::test_",
)
BEARER, RATES, RELOAD = (
    "unit/test_bearer.py::test_",
    "process/test_rates.py::test_",
    "process/test_reload.py::test_",
)
DENY, SECRETS = "process/test_default_deny.py::test_", "process/test_secrets.py::test_"
SINKS, MAIL = "integration/test_sinks.py::test_", "integration/test_email.py::test_"
LIMITS, REFUSED = (
    "integration/test_http_limits.py::test_",
    "integration/test_http_refused.py::test_",
)
API, DOCUMENT = "integration/test_http_api.py::test_", "unit/test_document.py::test_"
DELIMITERS, CHARSETS = (
    "unit/test_parser_delimiters.py::test_",
    "unit/test_parser_charsets.py::test_",
)
SEALING, STORED = "store/test_sealing.py::test_", "store/test_journal.py::test_"
LETTERS, FILES = "store/test_letters.py::test_", "deploy/test_files.py::test_"
CHART, HOUSE_RULES = "deploy/test_chart.py::test_", "test_architecture.py::test_"
MLLP_TLS, TLS = "process/test_mllp_tls.py::test_", "unit/test_tls.py::test_"
OWN, CANARY = (
    "test_security.py::test_",
    "process/test_canaries.py::test_neither_patients_nor_secrets_come_out_anywhere",
)

POINTS = {
    1: Point(
        "keys, tokens and certificates; before the body is read",
        f"{ACCESS}a_key_opens_what_its_scopes_say {ACCESS}the_body_of_a_stranger_is_not_read "
        f"{ACCESS}the_digest_is_no_key {HTTPS}a_certificate_is_a_key_with_a_name_and_scopes "
        f"{JWT}a_token_opens_what_its_scopes_say {JWT}an_issuer_may_change_its_keys "
        f"{BEARER}nobody_signs_with_none {BEARER}a_public_key_is_never_a_shared_secret "
        f"{BEARER}claims_that_are_missing_or_wrong_are_refused",
    ),
    2: Point(
        "beyond this machine nothing listens to strangers unless told so",
        f"{DENY}it_does_not_start_and_says_which_setting {DENY}it_starts_when_told_so "
        f"{DENY}a_reload_cannot_open_what_a_start_would_not",
    ),
    3: Point(
        "an unknown key and a wrong one are told the same in the same time",
        f"{ACCESS}without_a_valid_key_all_are_told_the_same "
        f"{OWN}keys_are_compared_in_constant_time",
        "no test asserts times: they would be wrong on a loaded machine",
    ),
    4: Point(
        "scopes",
        f"{ACCESS}a_key_opens_what_its_scopes_say "
        f"{DENY}metrics_beyond_this_machine_need_a_key_with_their_scope",
    ),
    5: Point(
        "guessing is slowed down, in bounded memory",
        f"{RATES}an_address_that_has_no_key_is_slowed_down_and_a_key_still_opens "
        "unit/test_rates.py::test_names_are_counted_apart_and_keep_their_rows",
    ),
    6: Point(
        "secrets come from files or variables, and are rotated",
        f"{SECRETS}the_secret_of_a_destination_is_rotated_by_its_file "
        f"{SECRETS}the_password_of_the_database_is_rotated_by_its_file "
        f"{SECRETS}no_command_takes_a_secret_as_an_argument "
        f"{RELOAD}keys_are_rotated_by_a_change_of_their_file "
        f"{HTTPS}certificates_are_renewed_by_a_reload",
        "the mode of a secret's file is not checked: Kubernetes mounts them readable to all",
    ),
    7: Point(
        "no secret is printed",
        f"{CANARY} integration/test_cli_config.py::test_a_secret_is_never_shown "
        "unit/test_oauth.py::test_the_log_has_every_token_asked_for_and_none_of_its_secrets",
    ),
    8: Point(
        "no patient's data in logs, metrics, errors, titles",
        f"{CANARY} {API}what_is_not_hl7_is_told_so_without_its_values "
        f"{SINKS}a_row_that_is_refused_says_why_without_its_values "
        "unit/test_cel.py::test_a_fault_never_says_what_a_value_was "
        f"{DELIMITERS}a_refusal_holds_nothing_that_was_sent",
    ),
    9: Point(
        "messages are followed by ids that say nothing",
        "unit/test_identity.py::test_a_digest_becomes_a_custom_uuid "
        "contract/test_behaviours_words.py::test_behaviour_31_a_request_is_followed_by_its_trace_id",
        "no keyed hash of MSH-10: no log has it, so nothing has to be hidden",
    ),
    10: Point(
        "a message never says which host is asked",
        f"{SINKS}what_is_wrong_with_a_webhook_is_told_at_load "
        f"{SINKS}no_event_leads_to_another_path {SINKS}what_a_webhook_is_answered_counts",
        "addresses are not filtered: hosts are the workflow's, whose author is the operator",
    ),
    11: Point(
        "no path leads out of its folder",
        f"{SINKS}no_event_leads_out_of_the_folder {SINKS}a_symbolic_link_is_not_followed "
        f"{SINKS}a_file_is_complete_private_and_named_by_the_event",
    ),
    12: Point(
        "programs",
        f"{SINKS}what_is_not_allowed_is_not_run {SINKS}a_value_never_becomes_an_option "
        f"{SINKS}a_program_gets_the_event_and_nothing_else "
        f"{SINKS}a_program_that_hangs_is_killed_with_all_it_has_started",
    ),
    13: Point(
        "SQL",
        f"{SINKS}names_are_checked_at_load {SINKS}a_row_is_inserted_and_put_over_the_old_one "
        "integration/test_postgres_sinks.py::test_a_lock_that_lasts_is_a_timeout",
    ),
    14: Point(
        "templates",
        "unit/test_template.py::test_values_are_escaped_for_where_they_go "
        "unit/test_template.py::test_no_template_writes_or_turns_without_end",
    ),
    15: Point(
        "YAML",
        f"{DOCUMENT}aliases_that_stand_for_billions_of_values_are_refused "
        f"{DOCUMENT}endless_nesting_is_refused {DOCUMENT}a_replaced_value_cannot_become_structure",
    ),
    16: Point(
        "conditions",
        "property/test_cel.py::test_any_text_is_a_condition_or_a_told_mistake "
        "property/test_cel.py::test_a_pattern_finds_what_re2_finds "
        f"{OWN}a_condition_cannot_take_forever",
    ),
    17: Point(
        "headers",
        f"{MAIL}a_value_never_begins_another_header {MAIL}a_value_never_names_a_second_recipient "
        f"{SINKS}a_webhook_says_who_and_what_and_which "
        "process/test_logs.py::test_terminal_gets_no_control_characters",
    ),
    18: Point(
        "TLS",
        f"{TLS}only_versions_and_ciphers_with_forward_secrecy_are_spoken "
        f"{TLS}there_is_no_compression_and_no_renegotiation {TLS}who_we_call_is_always_verified "
        f"{HTTPS}who_speaks_no_tls_or_an_old_one_is_refused_and_counted "
        f"{MLLP_TLS}only_listed_clients_come_in",
    ),
    19: Point(
        "requests that two readers would read differently",
        f"{REFUSED}a_badly_framed_request_is_refused_and_closed "
        f"{REFUSED}a_byte_at_a_time_changes_nothing {REFUSED}trailers_are_not_believed "
        "property/test_http1.py::test_twins_find_the_same_body",
    ),
    20: Point(
        "JSON",
        f"{API}an_event_that_is_large_or_deep_is_refused "
        f"{API}bad_json_is_told_so_without_its_values",
    ),
    21: Point(
        "nothing compressed is taken",
        f"{REFUSED}a_badly_framed_request_is_refused_and_closed",
    ),
    22: Point(
        "nothing is run or loaded from data",
        f"{OWN}nothing_is_run_or_loaded_from_data",
    ),
    23: Point(
        "the memory of the tokenizer",
        f"{DELIMITERS}a_message_is_as_large_as_the_limit_and_no_larger "
        f"{DELIMITERS}a_million_fields_are_the_limit "
        "property/test_twins.py::test_twins_agree_when_told_the_delimiters",
    ),
    24: Point(
        "hostile delimiters",
        f"{DELIMITERS}what_is_no_message_is_refused "
        f"{DELIMITERS}other_damage_is_never_guessed_at "
        "unit/test_parser_escapes.py::test_a_value_with_ten_thousand_escapes_is_read_in_one_pass",
    ),
    25: Point(
        "character sets",
        f"{CHARSETS}bytes_that_say_nothing_in_their_charset_are_refused "
        f"{CHARSETS}a_guess_is_windows_1252_and_says_so "
        f"{CHARSETS}an_unknown_charset_with_shift_sequences_is_refused "
        "integration/test_cli_trace.py::test_a_value_cannot_steer_the_terminal",
    ),
    26: Point(
        "what senders choose is remembered in bounded memory",
        f"{OWN}sources_are_remembered_in_bounded_memory "
        f"{BEARER}what_is_remembered_has_a_limit "
        "process/test_metrics.py::test_unknown_labels_count_as_other",
    ),
    27: Point(
        "operations stand apart",
        f"{DENY}metrics_beyond_this_machine_need_a_key_with_their_scope "
        f"{ACCESS}what_is_open_to_all_says_nothing",
    ),
    28: Point(
        "health and readiness say nothing of the house",
        f"{ACCESS}what_is_open_to_all_says_nothing",
    ),
    29: Point(
        "the audit log",
        "process/test_audit.py::test_who_replayed_looked_purged_and_reloaded_is_told "
        f"{RELOAD}the_audit_log_says_what_was_reloaded_and_refused "
        f"{LETTERS}the_audit_log_is_read_latest_first "
        f"{RATES}an_address_that_has_no_key_is_slowed_down_and_a_key_still_opens",
        "refusals (401) are in log and metric, not in the table: a stranger would fill the disk",
    ),
    30: Point(
        "messages at rest",
        f"{SEALING}what_is_encrypted_is_read_back_and_found_nowhere "
        f"{SEALING}keys_can_be_changed {SEALING}without_its_key_a_store_is_not_opened",
    ),
    31: Point(
        "retention and purge",
        f"{STORED}what_was_delivered_is_forgotten_in_time_and_nothing_else "
        f"{LETTERS}a_purge_spares_what_is_being_replayed "
        "store/test_sqlite_faults.py::test_a_purge_gives_its_disk_back",
    ),
    32: Point(
        "rows that somebody changed",
        f"{SEALING}a_value_moved_to_another_row_is_found_out",
    ),
    33: Point(
        "limits of a key",
        f"{RATES}all_workers_together_let_pass_what_one_key_may "
        f"{RATES}a_limit_for_all_is_counted_for_each",
        "X-Forwarded-For is never believed: keys are counted, not addresses",
    ),
    34: Point(
        "resources",
        f"{LIMITS}bodies_of_all_connections_together_are_bounded "
        "process/test_daemon.py::test_workers_leave_no_core_file "
        "process/test_mllp.py::test_more_than_a_worker_may_hold_is_closed_without_an_answer",
    ),
    35: Point(
        "where packages come from",
        f"{HOUSE_RULES}no_requirement_of_the_lock_comes_without_a_hash "
        f"{HOUSE_RULES}the_lock_satisfies_every_requirement_of_the_project",
        "no SBOM, no scan for known weaknesses: without its database it is green for nothing",
    ),
    36: Point(
        "the image",
        f"{FILES}the_image_runs_as_nobody_and_has_what_the_runbook_calls "
        f"{FILES}the_dockerfile_lints",
    ),
    37: Point(
        "the chart",
        f"{CHART}a_plain_install_is_restricted_and_keeps_its_store "
        f"{CHART}all_it_makes_is_valid "
        f"{CHART}tls_is_what_probes_ingress_and_settings_speak",
    ),
    38: Point("the unit of systemd", f"{FILES}the_unit_is_confined"),
    39: Point("browsers", f"{ACCESS}no_browser_is_given_leave"),
    40: Point(
        "errors in fixed words",
        f"{API}a_refusal_below_the_api_is_a_problem_too "
        f"{API}bad_json_is_told_so_without_its_values",
    ),
    41: Point(
        "a repeat tells no stranger anything",
        f"{STORED}other_bytes_under_the_same_control_id_are_a_new_message "
        f"{STORED}the_same_control_id_of_another_sender_is_another_message",
        "the key of a sender is not part of it, or a rotated key would deliver twice; who repeats "
        "has every byte of the message already",
    ),
    42: Point(
        "how weaknesses are told, and what is defended against whom",
        f"{OWN}the_policy_says_how_to_tell_and_what_is_defended",
    ),
}


@cache
def _names(file: str) -> frozenset[str]:
    """The tests of a file."""
    tree = ast.parse((HERE / file).read_text())
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_all_forty_two_are_there() -> None:
    assert list(POINTS) == list(range(1, 43))


@pytest.mark.parametrize("number", POINTS)
def test_a_point_is_held_by_tests_that_exist(number: int) -> None:
    assert POINTS[number].tests
    for each in POINTS[number].tests.split():
        file, _, name = each.partition("::")
        assert name in _names(file), each


# What belongs to no other file.

FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "runpy", "code", "imp", "xml"}
CALLS = {"eval", "exec", "__import__"}
UNSAFE = {("yaml", "load"), ("os", "system"), ("os", "popen"), ("importlib", "import_module")}


def _offences(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name.split(".")[0] in FORBIDDEN]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in FORBIDDEN else []
        elif isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) if name in CALLS:
                    found.append(name)
                case ast.Attribute(value=ast.Name(id=module), attr=name):
                    found += [name] if (module, name) in UNSAFE else []
            found += ["shell=True" for word in node.keywords if word.arg == "shell"]
    return found


def test_nothing_is_run_or_loaded_from_data() -> None:
    for file in HOUSE.rglob("*.py"):
        assert not _offences(ast.parse(file.read_text())), file


def test_keys_are_compared_in_constant_time() -> None:
    """Every key is looked at, by digests of one length, with what does not stop early."""
    tree = ast.parse((HOUSE / "access.py").read_text())
    find = next(
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "find"
    )
    loop = next(node for node in ast.walk(find) if isinstance(node, ast.For))
    assert "compare_digest" in ast.dump(loop)
    assert not [node for node in ast.walk(loop) if isinstance(node, ast.Break | ast.Return)]


def test_sources_are_remembered_in_bounded_memory() -> None:
    feeds = Feeds(Profiles(None, (), "default"))
    for number in range(3 * FEEDS_LIMIT):
        feeds.named(f"source-{number}")
    assert len(feeds._known) <= FEEDS_LIMIT


NESTED = "[1,2,3,4,5,6,7,8,9,0].all({}, {})"


@pytest.mark.parametrize(
    "condition",
    [
        reduce(lambda inner, name: NESTED.format(name, inner), "abcdefgh", "true"),
        "event.type == " + "'x' + " * 20_000 + "'x'",
        "(" * 500 + "true" + ")" * 500,
        "'a'.matches('((a{1,1000}){1,1000}){1,1000}')",
    ],
    ids=["loops", "length", "nesting", "pattern"],
)
def test_a_condition_cannot_take_forever(condition: str) -> None:
    """It is refused when it is read, or at the latest when it has turned too often."""
    with pytest.raises((CelError, CelFault)):
        cel.compile(condition)({})


def test_the_policy_says_how_to_tell_and_what_is_defended() -> None:
    text = (HERE.parent / "SECURITY.md").read_text()
    for heading in ("## Reporting", "## What is protected", "## Who is expected to attack"):
        assert heading in text
