"""What befalls a file and its disk, done to real ones."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fifhir.errors import StoreError
from fifhir.store import ALL, Fresh, Store
from fifhir.store.config import Database, StoreSettings
from fifhir.store.opening import check
from tests.stores import Loop, Place, entry, letter


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Database(), tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("NOT RUN: only root may mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(made, check=False, capture_output=True).returncode:
        pytest.skip("NOT RUN: this machine lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def file_of(place: Place) -> Path:
    return place.folder / "store.db"


def settings(place: Place) -> StoreSettings:
    return StoreSettings(data_dir=str(place.folder))


def test_a_full_disk_is_no_promise_and_recovers_by_itself(small_disk: Path, do: Loop) -> None:
    store = do.open(Place(Database(), small_disk).store())
    acknowledged = []

    async def fill() -> str:
        for number in range(10_000):
            try:
                await store.record(entry(str(number), raw=os.urandom(20_000)))
            except StoreError as fault:
                return fault.kind
            acknowledged.append(f"event-{number}")
        raise AssertionError("the disk was never full")

    (small_disk / "ballast").write_bytes(bytes(300_000))
    assert do(fill()) == "full"
    assert acknowledged
    assert not store.ready
    (small_disk / "ballast").unlink()
    do(store.health())
    assert store.ready
    assert do(store.record(entry("after"))) == Fresh()
    [claim] = do(store.claim(10, 1000, 60))
    found = [each.event_id for each in claim.entries]
    assert found == [*acknowledged, "event-after"]


def test_a_damaged_file_is_refused_and_left_as_it_is(place: Place, do: Loop) -> None:
    store = place.store()
    do(store.open())
    do(store.bury([letter(number, raw=os.urandom(5000)) for number in range(50)]))
    do(store.close())
    file = file_of(place)
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(b"\xff" * 30_000)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"sqlite3 .* \.recover") as fault:
        check(place.database, settings(place))
    assert fault.value.kind == "corrupt"
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_not_made_one(place: Place, do: Loop) -> None:
    file_of(place).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        check(place.database, settings(place))
    assert do.refused(place.store()).kind == "corrupt"
    assert file_of(place).read_bytes() == b"no database" * 1000


def test_a_log_without_its_database_is_not_thrown_away(place: Place, do: Loop) -> None:
    store = place.store()
    do(store.open())
    do(store.record(entry("1")))
    left = Path(f"{file_of(place)}-wal")
    assert left.stat().st_size
    kept = left.read_bytes()
    do(store.close())
    file_of(place).unlink()
    left.write_bytes(kept)
    assert "moved or deleted without it" in str(do.refused(place.store()))
    assert left.read_bytes() == kept


def test_a_database_of_a_newer_release_is_refused(place: Place, do: Loop) -> None:
    do.open(place.store())
    with sqlite3.connect(file_of(place)) as db:
        db.execute("INSERT INTO schema_version VALUES (999, 'later', 0)")
    assert do.refused(place.store()).kind == "schema"


def test_only_its_owner_may_read_the_messages(place: Place, do: Loop) -> None:
    inner = Place(Database(), place.folder / "made")
    store = do.open(inner.store())
    do(store.record(entry("1")))
    assert inner.folder.stat().st_mode & 0o777 == 0o700
    for file in inner.folder.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name


def test_a_stranger_that_holds_the_file_is_not_waited_for_without_end(
    place: Place, do: Loop
) -> None:
    store = do.open(place.store(timeout=0.5))
    with sqlite3.connect(file_of(place), isolation_level=None) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as fault:
            do(store.record(entry("1")))
        assert fault.value.kind == "slow"
        stranger.execute("ROLLBACK")
    do(_until_well(store))
    assert isinstance(do(store.record(entry("2"))), Fresh)


async def _until_well(store: Store) -> None:
    async with asyncio.timeout(60):
        while not store.ready:
            try:
                await store.health()
            except StoreError:
                await asyncio.sleep(0.05)


def test_a_purge_gives_its_disk_back(place: Place, do: Loop) -> None:
    store = do.open(place.store())
    do(store.bury([letter(number, raw=os.urandom(20_000)) for number in range(200)]))
    do(store.health())

    def size() -> int:
        return sum(file.stat().st_size for file in place.folder.iterdir())

    full = size()
    do(store.purge(ALL))
    assert size() < full / 5


WRITER = """
import asyncio, sys
from fifhir.store.config import Database, StoreSettings
from fifhir.store.opening import store
from tests.stores import entry
async def main():
    opened = store(Database(), StoreSettings(data_dir=sys.argv[1], timeout=60.0), 10)
    await opened.open()
    for number in range(int(sys.argv[3])):
        await opened.record(entry(f"{sys.argv[2]}-{number}"))
        print(number, flush=True)
    await opened.close()
asyncio.run(main())
"""


def writer(root: Path, place: Place, name: str, messages: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", WRITER, str(place.folder), name, str(messages)]
    return subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True)


def test_no_writer_of_several_starves_or_is_refused(root: Path, place: Place, do: Loop) -> None:
    processes = [writer(root, place, f"w{number}", 200) for number in range(3)]
    for process in processes:
        told, _ = process.communicate(timeout=55)
        assert process.returncode == 0
        assert len(told.split()) == 200
    store = do.open(place.store())
    [claim] = do(store.claim(10, 1000, 60))
    assert len(claim.entries) == 600


def test_a_writer_that_is_killed_leaves_all_it_acknowledged(
    root: Path, place: Place, do: Loop
) -> None:
    process = writer(root, place, "killed", 100_000)
    assert process.stdout
    acknowledged = [process.stdout.readline() for _ in range(50)]
    process.kill()
    acknowledged += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    whole = [line.strip() for line in acknowledged if line.endswith("\n")]
    store = do.open(place.store())
    [claim] = do(store.claim(10, 200_000, 60))
    found = {each.event_id for each in claim.entries}
    assert {f"event-killed-{number}" for number in whole} <= found


def test_an_error_of_the_disk_is_no_promise(root: Path, place: Place, tmp_path: Path) -> None:
    """strace makes one fdatasync of a process fail, as a dying disk does."""
    if not shutil.which("strace"):
        pytest.skip("NOT RUN: there is no strace to make fdatasync fail")
    trace = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync"]
    trace += ["-e", "inject=fdatasync:error=EIO:when=60"]
    words = [*trace, sys.executable, "-c", WRITER, str(place.folder), "eio", "1000"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, timeout=55)
    if "EIO" not in (tmp_path / "trace").read_text():
        pytest.skip("NOT RUN: strace may not trace here")
    assert done.returncode != 0
    assert "cannot be used" in done.stderr
    with sqlite3.connect(file_of(place)) as db:
        found = {row[0] for row in db.execute("SELECT event_id FROM workflow_events")}
    assert {f"event-eio-{number}" for number in done.stdout.split()} <= found


def test_the_loop_turns_while_the_disk_is_waited_for(place: Place, do: Loop) -> None:
    store = do.open(place.store())
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite3.connect(file_of(place), isolation_level=None) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            held.set()
            free.wait(30)
            stranger.execute("ROLLBACK")

    async def beside() -> int:
        writing = asyncio.create_task(store.record(entry("1")))
        turns = 0
        while turns < 100:
            await asyncio.sleep(0.001)
            turns += 1
        assert not writing.done()
        free.set()
        await writing
        return turns

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    assert do(beside()) == 100
    thread.join()
