"""Each action against something real: files, programs, databases, web servers."""

import asyncio
import json
import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from fifhir.sinks.http import seconds
from tests.delivering import EVENT, delivered, faults, parcel, refused, sink
from tests.web import Server

# file


def test_a_file_is_complete_private_and_named_by_the_event(tmp_path: Path) -> None:
    action = {"type": "file", "base_dir": str(tmp_path), "path": "{{.source}}/{{.id}}.json"}
    delivered(action, parcel(), parcel())
    made = tmp_path / "north" / "e-1.json"
    assert json.loads(made.read_bytes()) == EVENT
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert [each.name for each in made.parent.iterdir()] == ["e-1.json"]


def test_lines_are_added_whole_by_many_at_once(tmp_path: Path) -> None:
    action = {"type": "file", "path": str(tmp_path / "all.ndjson"), "format": "ndjson"}
    many = [parcel({**EVENT, "id": str(number)}) for number in range(40)]

    async def go() -> None:
        sinks = [sink(action), sink(action)]
        await asyncio.gather(*(sinks[n % 2].deliver(each) for n, each in enumerate(many)))

    asyncio.run(go())
    lines = (tmp_path / "all.ndjson").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == {str(number) for number in range(40)}
    assert not sink(action).idempotent


@pytest.mark.parametrize("source", ["..", ".hidden", "-rf", "a/../b", "a b", "", "x" * 300, "\0"])
def test_no_event_leads_out_of_the_folder(tmp_path: Path, source: str) -> None:
    action = {"type": "file", "base_dir": str(tmp_path), "path": "{{.source}}/x.json"}
    assert refused(action, parcel({**EVENT, "source": source})).kind == "template"
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "north").symlink_to(tmp_path)
    action = {"type": "file", "base_dir": str(tmp_path / "base"), "path": "{{.source}}/x.json"}
    assert refused(action).kind == "server_error"
    assert not (tmp_path / "x.json").exists()


def test_a_folder_that_is_gone_is_a_failure_to_try_again(tmp_path: Path) -> None:
    action = {"type": "file", "base_dir": str(tmp_path / "gone"), "path": "x.json"}
    fault = refused(action)
    assert (fault.kind, fault.retryable) == ("server_error", True)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    target = tmp_path / "full.ndjson"
    target.symlink_to("/dev/full")
    assert refused({"type": "file", "path": str(target), "format": "ndjson"}).kind


def test_a_path_with_a_template_needs_a_base() -> None:
    assert "needs base_dir" in faults({"type": "file", "path": "/var/{{.id}}"})
    assert "must be absolute" in faults({"type": "file", "path": "x.json"})


# exec


def script(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return {"type": "exec", "command": str(path), "allowlist": str(path), "timeout": "20s"}


def test_a_program_gets_the_event_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    action = script(tmp_path, f'cat > {out}; env >> {out}; echo "$1 $2" >> {out}; pwd >> {out}')
    action |= {"args": "'{{.patient.mrn}}' plain", "env": {"KIND": "{{.type}}"}}
    delivered(action)
    said = out.read_text()
    assert said.startswith(json.dumps(EVENT))
    assert "KIND=patient_admit" in said
    assert "FI_FHIR_KEY=" in said
    assert "HOME=" not in said
    assert "007 plain\n/\n" in said


@pytest.mark.parametrize(
    ("text", "kind", "again"),
    [
        ("exit 3", "client_error", False),
        ("exit 75", "server_error", True),
        ("kill -9 $$", "ambiguous", False),
        ("yes", "client_error", False),
    ],
)
def test_what_a_program_ends_with_counts(tmp_path: Path, text: str, kind: str, again: bool) -> None:
    fault = refused(script(tmp_path, text))
    assert (fault.kind, fault.retryable) == (kind, again)


def test_a_program_that_hangs_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    action = script(tmp_path, f"sleep 300 & echo $! > {child}.new; mv {child}.new {child}; wait")

    async def go() -> None:
        running = asyncio.create_task(sink(action).deliver(parcel()))
        while not child.exists():
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(go(), 40))
    pid = int(child.read_text())
    until = time.monotonic() + 20
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_value_never_becomes_an_option(tmp_path: Path) -> None:
    action = script(tmp_path, "exit 0") | {"args": "{{.source}}"}
    assert refused(action, parcel({**EVENT, "source": "-rf"})).kind == "template"


def test_what_is_not_allowed_is_not_run() -> None:
    action = {"type": "exec", "command": "/bin/sh", "allowlist": "/bin/true"}
    assert "not on the allowlist" in faults(action)
    assert "allowlist" in faults({"type": "exec", "command": "/bin/sh"})


# database and event_store


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE visits (mrn text PRIMARY KEY, class text, whole text, k text)")
    connection.close()
    return path


def test_a_row_is_inserted_and_put_over_the_old_one(table: Path) -> None:
    mapping = {
        "mrn": "patient.mrn",
        "class": "encounter.class",
        "whole": "__raw__",
        "k": "__key__",
    }
    action = {
        "type": "database",
        "connection": f"sqlite://{table}",
        "table": "visits",
        "mapping": mapping,
        "operation": "upsert",
        "conflict_on": "mrn",
    }
    later = {**EVENT, "encounter": {"class": "O"}}
    delivered(action, parcel(), parcel(later))
    assert rows(table, "SELECT mrn, class, k FROM visits") == [("007", "O", parcel().key)]
    assert json.loads(rows(table, "SELECT whole FROM visits")[0][0]) == later


def test_what_an_event_has_not_is_null_and_lists_are_json(table: Path) -> None:
    mapping = {
        "mrn": "patient.phones.0.value",
        "class": "encounter.admit_reason",
        "whole": "patient",
    }
    action = {"type": "database", "connection": f"sqlite://{table}", "table": "visits"}
    delivered(action | {"mapping": mapping})
    ((mrn, kind, whole),) = rows(table, "SELECT mrn, class, whole FROM visits")
    assert (mrn, kind, json.loads(whole)) == ("a", None, EVENT["patient"])


def test_a_row_that_is_refused_says_why_without_its_values(table: Path) -> None:
    action: dict[str, Any] = {"type": "database", "connection": f"sqlite://{table}"}
    action |= {"table": "visits", "mapping": {"mrn": "patient.mrn"}}
    fault = refused(action, parcel(), parcel())
    assert (fault.kind, str(fault)) == ("client_error", "database: SQLITE_CONSTRAINT_PRIMARYKEY")
    assert not sink(action).idempotent


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"table": "visits; DROP TABLE visits"}, "must match"),
        ({"mapping": {'a"b': "x"}}, "must match"),
        ({"mapping": {"mrn": "patient.mnr"}}, "did you mean 'patient.mrn'?"),
        ({"mapping": {"mrn": "patient..mrn"}}, "not a path"),
        ({"connection": "mysql://here/x"}, "expected postgresql://"),
        ({"operation": "upsert"}, "goes with"),
        ({"operation": "upsert", "conflict_on": "other"}, "no column of mapping"),
    ],
)
def test_names_are_checked_at_load(change: dict[str, Any], text: str) -> None:
    action = {"type": "database", "connection": "sqlite:///x.db", "table": "visits"}
    assert text in faults(action | {"mapping": {"mrn": "patient.mrn"}} | change)


def test_an_event_is_appended_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    action = {
        "type": "event_store",
        "connection": f"sqlite://{path}",
        "stream": "patient-{{.patient.mrn}}",
        "metadata": {"from": "{{.source}}"},
    }
    delivered(action, parcel(), parcel(), parcel({**EVENT, "id": "e-2"}))
    found = rows(path, "SELECT stream, event_type, event_id, metadata FROM events")
    assert [each[2] for each in found] == ["e-1", "e-2"]
    assert found[0][:2] == ("patient-007", "patient_admit")
    assert json.loads(found[0][3]) == {"from": "north"}


# webhook, OAuth2 and fhir


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def test_a_webhook_says_who_and_what_and_which(server: Server) -> None:
    action = {
        "type": "webhook",
        "url": f"{server.url}/in/{{{{.patient.mrn}}}}?q={{{{.source}}}}",
        "token": "tok",
        "headers": {"X-Source": "{{.source}}"},
    }
    delivered(action, parcel({**EVENT, "source": "a&b=c/../d"}))
    ((path, headers, body),) = server.seen
    assert path == "/in/007?q=a%26b%3Dc%2F..%2Fd"
    assert headers["Authorization"] == "Bearer tok"
    assert headers["X-Source"] == "a&b=c/../d"
    assert headers["Idempotency-Key"] == parcel().key
    assert json.loads(body)["id"] == "e-1"


def test_no_event_leads_to_another_path(server: Server) -> None:
    action = {"type": "webhook", "url": f"{server.url}/in/{{{{.source}}}}/x"}
    assert refused(action, parcel({**EVENT, "source": ".."})).kind == "template"
    delivered(action, parcel({**EVENT, "source": "../.."}))
    assert server.seen[0][0] == "/in/..%2F../x"


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (302, "client_error", False),
        (400, "client_error", False),
        (401, "auth_error", False),
        (429, "rate_limited", True),
        (503, "server_error", True),
        (0, "ambiguous", True),
    ],
)
def test_what_a_webhook_is_answered_counts(
    server: Server, status: int, kind: str, again: bool
) -> None:
    server.answer = lambda path, body: (status, {"Location": "/007", "Retry-After": "9"}, b"007")
    fault = refused({"type": "webhook", "url": server.url})
    assert (fault.kind, fault.retryable) == (kind, again)
    assert fault.retry_after == (9.0 if status >= 400 else None)
    assert len(server.seen) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://nowhere.invalid/"])
def test_a_destination_that_is_not_there_is_told(url: str) -> None:
    fault = refused({"type": "webhook", "url": url})
    assert (fault.kind, fault.retryable) == ("connection_error", True)


def test_a_destination_that_speaks_no_tls_is_not_asked_again(server: Server) -> None:
    fault = refused({"type": "webhook", "url": server.url.replace("http", "https")})
    assert (fault.kind, fault.retryable) == ("tls", False)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ({"url": "http://{{.source}}/x"}, "which host"),
        ({"url": "ftp://here/"}, "expected http"),
        ({"url": "http://me:pw@here/"}, "credentials"),
        ({"url": "http://here/", "token": "a\nb"}, "printable"),
        ({"url": "http://here/", "headers": {"Host": "x"}}, "set by other keys"),
        ({"url": "http://here/", "token_url": "http://auth/"}, "client_id"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_told_at_load(action: dict[str, Any], text: str) -> None:
    assert text in faults({"type": "webhook", **action})


def test_a_token_is_had_for_a_secret_and_renewed_once_when_refused(server: Server) -> None:
    given: list[str] = []

    def answer(path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/token":
            assert parse_qs(body.decode())["scope"] == ["a b"]
            given.append(f"t{len(given)}")
            return 200, {}, json.dumps({"access_token": given[-1]}).encode()
        return (200 if server.seen[-1][1]["Authorization"] == "Bearer t1" else 401), {}, b""

    server.answer = answer
    action = {"type": "webhook", "url": f"{server.url}/in", "token_url": f"{server.url}/token"}
    action |= {"client_id": "me", "client_secret": "hush", "scopes": "a, b"}
    delivered(action, parcel(), parcel())
    assert [path for path, _, _ in server.seen] == ["/token", "/in", "/token", "/in", "/in"]
    server.answer = lambda path, body: answer(path, body) if path == "/token" else (401, {}, b"")
    assert refused(action).kind == "auth_error"
    assert sum(path == "/in" for path, _, _ in server.seen) == 5


def test_retry_after_is_read_in_both_forms_and_nonsense_is_not() -> None:
    assert seconds("120") == 120.0
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert 3_000_000_000 > (seconds("Wed, 21 Oct 2065 07:28:00 GMT") or 0) > 1_000_000_000
    for nonsense in ("", "soon", "-5", "1e9", "9" * 30, "٣"):
        assert seconds(nonsense) is None


FHIR = {"type": "fhir", "operation": "upsert"}


def done(given: bytes, *statuses: str) -> bytes:
    """A server's response to a transaction; every entry was created but the first ones."""
    entries: list[dict[str, Any]] = [{"response": {"status": each}} for each in statuses]
    count = len(json.loads(given)["entry"])
    entries += [{"response": {"status": "201 Created"}}] * (count - len(entries))
    return json.dumps(
        {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    ).encode()


def test_fhir_gets_the_same_transaction_each_time(server: Server) -> None:
    server.answer = lambda path, body: (200, {}, done(body))
    delivered({**FHIR, "endpoint": f"{server.url}/r4/"}, parcel(), parcel())
    (path, headers, first), (_, _, second) = server.seen
    assert path == "/r4"
    assert headers["Content-Type"] == "application/fhir+json"
    assert json.loads(first)["type"] == "transaction"
    assert first == second


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (422, b'{"issue":[{"code":"structure","diagnostics":"007"}]}', "client_error", "structure"),
        (
            422,
            b'{"issue":[{"code":"007 is wrong"},{"code":"value"}]}',
            "client_error",
            r"\(value\)",
        ),
        (422, b"<html>007", "client_error", "422"),
        (412, b"{}", "client_error", "the condition matches several resources"),
        (409, b"{}", "client_error", "something else is being done with it"),
        (
            *(400, b'{"issue":[{"expression":["Bundle.entry[1].resource.ofType(007).x"]}]}'),
            *("client_error", r"400; entry 1 \(\w+\)"),
        ),
        (400, b'{"issue":[{"expression":["Bundle.entry[99].x"]},7],"x":1}', "client_error", "400"),
        (200, b"<html>a proxy's page", "ambiguous", "transaction-response"),
        (200, b'{"resourceType":"Bundle","type":"transaction-resp', "ambiguous", "response"),
        (
            *(200, b'{"resourceType":"Bundle","type":"transaction-response","entry":[]}'),
            *("ambiguous", r"\d entries were sent and 0 answered"),
        ),
        (503, b"", "server_error", "503"),
    ],
)
def test_only_a_transaction_response_confirms(
    server: Server, status: int, body: bytes, kind: str, text: str
) -> None:
    server.answer = lambda path, given: (status, {}, body)
    fault = refused({**FHIR, "endpoint": server.url})
    assert fault.kind == kind
    assert re.search(text, str(fault))
    assert "007" not in str(fault)


@pytest.mark.parametrize(
    ("statuses", "kind", "again", "text"),
    [
        (("412 Multiple",), "client_error", False, r"entry 0 \(\w+\) 412: the condition matches"),
        (("409",), "client_error", True, r"entry 0 \(\w+\) 409: something else"),
        (
            ("200", "422"),
            "client_error",
            False,
            r"1 of \d entries were not carried out: entry 1 ",
        ),
        (("500", "503"), "server_error", True, r"entry 1 \(\w+\) 503"),
        (("409", "422"), "client_error", False, r"2 of \d"),
        (("", "2000"), "client_error", False, r"entry 1 \(\w+\) 0"),
    ],
)
def test_every_entry_of_a_response_is_looked_at(
    server: Server, statuses: tuple[str, ...], kind: str, again: bool, text: str
) -> None:
    server.answer = lambda path, given: (200, {}, done(given, *statuses))
    fault = refused({**FHIR, "endpoint": server.url})
    assert (fault.kind, fault.retryable) == (kind, again)
    assert re.search(text, str(fault))


def test_a_conflict_is_tried_again(server: Server) -> None:
    answers = iter([(409, b"{}"), (200, None)])

    def answer(path: str, given: bytes) -> tuple[int, dict[str, str], bytes]:
        status, body = next(answers)
        return status, {}, body if body is not None else done(given)

    server.answer = answer
    assert refused({**FHIR, "endpoint": server.url}).retryable
    delivered({**FHIR, "endpoint": server.url}, parcel())


def test_only_the_kinds_that_are_wanted_are_sent_with_what_they_refer_to(server: Server) -> None:
    server.answer = lambda path, body: (200, {}, done(body))
    delivered({**FHIR, "endpoint": server.url, "resource": "Encounter"})
    ((_, _, body),) = server.seen
    kinds = {each["resource"]["resourceType"] for each in json.loads(body)["entry"]}
    assert kinds == {"Encounter", "Patient", "Organization"}
    assert "no event becomes Nothing" in faults(
        {**FHIR, "endpoint": server.url, "resource": "Patient, Nothing"}
    )


def test_without_a_bundle_each_resource_is_put_by_itself(server: Server) -> None:
    delivered({**FHIR, "endpoint": f"{server.url}/r4", "bundle": False})
    sent = {path: json.loads(body) for path, _, body in server.seen}
    places = {f"{each['resourceType']}/{each['id']}" for each in sent.values()}
    assert set(sent) == {f"/r4/{place}" for place in places}
    encounter = next(each for each in sent.values() if each["resourceType"] == "Encounter")
    assert encounter["subject"]["reference"] in places
    assert "urn:uuid" not in json.dumps([*sent.values()])
    assert "operation upsert" in faults(
        {**FHIR, "operation": "create", "endpoint": server.url, "bundle": False}
    )


def test_what_is_refused_alone_is_named(server: Server) -> None:
    server.answer = lambda path, body: (422, {}, b'{"issue":[{"code":"value"}]}')
    fault = refused({**FHIR, "endpoint": server.url, "bundle": False})
    assert re.search(r"answered 422 for a \w+: the server's rules refuse it \(value\)", str(fault))
    assert len(server.seen) == 1


def test_what_is_not_valid_is_not_sent_if_asked(server: Server) -> None:
    action = {**FHIR, "endpoint": server.url, "validate_fhir": True}
    odd = {**EVENT, "patient": {"mrn": "007", "death_datetime": "2026-02-28T25:00:00Z"}}
    server.answer = lambda path, body: (200, {}, done(body))
    delivered(action)
    assert len(server.seen) == 1
    fault = refused(action, parcel(odd))
    assert fault.kind == "client_error"
    assert "Patient.deceasedDateTime" in str(fault)
    assert len(server.seen) == 1


def test_an_event_without_a_patient_is_not_for_fhir(server: Server) -> None:
    bare = {"type": "unmapped_message", "id": "1", "source": "north"}
    assert refused({**FHIR, "endpoint": server.url}, parcel(bare)).kind == "client_error"
    assert server.seen == []
