"""Encryption at rest, over both databases: nothing in the clear, and keys that change."""

import base64
import sqlite3

import pytest

from fifhir.errors import StoreError
from fifhir.secret import Secret
from fifhir.store import ALL, Store
from fifhir.store.sealing import Seal, faults
from tests.postgres import Server
from tests.stores import Loop, Place, entry, letter

OLD = f"2025:{base64.b64encode(b'o' * 32).decode()}"
NEW = f"2026:{base64.b64encode(b'n' * 32).decode()}"
MESSAGE = b"MSH|^~\\&|LAB\rPID|1||7||TEAPOT^HAZEL\r"


def sealed(place: Place, keys: str) -> Store:
    return place.store(encryption_keys=Secret(keys))


def name_of(place: Place) -> str:
    """What its database is called."""
    return place.database.dsn.reveal().partition("@/")[2].partition("?")[0]


def in_the_clear(place: Place, request: pytest.FixtureRequest) -> bool:
    """Whether the message can be found by whoever reads the database's rows or its files."""
    if not place.database.postgres:
        return any(b"TEAPOT" in file.read_bytes() for file in place.folder.iterdir())
    server: Server = request.getfixturevalue("postgres")
    name = name_of(place)
    both = (
        server.sql(f"SELECT raw, payload FROM {table}", name)  # noqa: S608 - ours
        for table in ("dlq_events", "workflow_events")
    )
    if b"TEAPOT".hex() in "".join(both):
        return True
    number = server.sql("SELECT oid FROM pg_database WHERE datname = current_database()", name)
    server.sql("VACUUM FULL", name)
    server.sql("CHECKPOINT", name)
    files = (server.folder / "data" / "base" / number).iterdir()
    return any(b"TEAPOT" in file.read_bytes() for file in files if file.is_file())


def test_what_is_encrypted_is_read_back_and_found_nowhere(
    place: Place, do: Loop, request: pytest.FixtureRequest
) -> None:
    store = do.open(sealed(place, NEW))
    do(store.bury([letter(raw=MESSAGE)]))
    do(store.record(entry("1", raw=MESSAGE)))
    assert not in_the_clear(place, request)
    found = do(store.get("letter-1"))
    assert found
    assert found.raw == MESSAGE
    [claim] = do(store.claim(1, 1, 60))
    assert claim.entries[0].raw == MESSAGE
    [taken] = do(store.take(ALL, 1, 60))
    assert taken.letter.event == letter().event


def test_keys_can_be_changed(place: Place, do: Loop, request: pytest.FixtureRequest) -> None:
    plain, old = do.open(place.store()), do.open(sealed(place, OLD))
    do(plain.bury([letter(1, raw=MESSAGE)]))
    do(old.bury([letter(2, raw=MESSAGE)]))
    do(old.record(entry("0", raw=MESSAGE)))
    both = do.open(sealed(place, f"{NEW}\n{OLD}"))
    do(both.bury([letter(3, raw=MESSAGE)]))
    do(both.record(entry("1", raw=MESSAGE)))
    parts: list[int] = []
    assert do(both.rekey(parts.append)) == sum(parts) == 3
    assert do(both.rekey()) == 0
    new = do.open(sealed(place, NEW))
    taken = do(new.take(ALL, 10, 60))
    assert [each.letter.raw for each in taken] == [MESSAGE] * 3
    [claim] = do(new.claim(10, 10, 60))
    assert [each.raw for each in claim.entries] == [MESSAGE] * 2
    if place.database.postgres:  # SQLite overwrites what it deletes, but not yet what is in the log
        assert not in_the_clear(place, request)


def test_without_its_key_a_store_is_not_opened(place: Place, do: Loop) -> None:
    do(do.open(sealed(place, OLD)).bury([letter()]))
    for keys in ("", NEW):
        fault = do.refused(sealed(place, keys))
        assert fault.kind == "sealed"
        assert "'2025'" in str(fault)


def test_another_key_of_the_same_name_opens_nothing(place: Place, do: Loop) -> None:
    do(do.open(sealed(place, OLD)).bury([letter()]))
    store = do.open(sealed(place, OLD.replace(OLD[5:], NEW[5:])))
    with pytest.raises(StoreError, match="is not what was encrypted"):
        do(store.get("letter-1"))


def test_a_value_moved_to_another_row_is_found_out(
    place: Place, do: Loop, request: pytest.FixtureRequest
) -> None:
    store = do.open(sealed(place, OLD))
    do(store.bury([letter(1), letter(2, raw=MESSAGE)]))
    move = "UPDATE dlq_events SET raw = (SELECT raw FROM dlq_events WHERE id = 'letter-2')"
    if place.database.postgres:
        request.getfixturevalue("postgres").sql(move, name_of(place))
    else:
        with sqlite3.connect(place.folder / "store.db") as db:
            db.execute(move)
    with pytest.raises(StoreError, match="the row was changed"):
        do(store.get("letter-1"))


def test_a_value_is_sealed_differently_each_time() -> None:
    seal = Seal(NEW)
    assert seal.close(MESSAGE, "row", "raw") != seal.close(MESSAGE, "row", "raw")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("nonsense", "key 1 is not id:base64"),
        ("a:aaaa", "key 'a' is not 32 bytes in base64"),
        (f"{NEW}\n\n{NEW}", "key '2026' is given twice"),
    ],
)
def test_keys_that_are_none_are_told_without_them(keys: str, told: str) -> None:
    assert list(faults(keys)) == [told]


def test_no_keys_are_no_fault() -> None:
    assert list(faults("")) == []
