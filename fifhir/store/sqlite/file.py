"""One process's connection to the SQLite file, and the lock that lets one process write at a time.

SQLite allows one writer. Processes wait for their turn in the kernel, in flock(2) on a file beside
the database, and not in SQLite's busy handler, which sleeps ever longer and starved one of two
processes completely (2,896 rows against 0, 2026-11). Only what is no process of ours, a shell
say, is waited for by the busy handler.
"""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from fifhir.errors import StoreError
from fifhir.store import migrations

BUSY = 5000  # milliseconds
_MAGIC = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html, 1.3.1
CHECKED = 1 << 28  # bytes; a larger file is not read as a whole before the start
_PRAGMAS = (
    "auto_vacuum=INCREMENTAL",  # before the first table, or never
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",
    f"busy_timeout={BUSY}",
    "journal_size_limit=67108864",
)
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL = (sqlite3.SQLITE_FULL,)
_READ_ONLY = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class File:
    """The database in `folder`. Every method may wait for the disk and belongs in a thread."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        self._lock = -1
        self._db: sqlite3.Connection | None = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, opened if it is not: after an error of the disk it was closed."""
        if self._db is None:
            self._open()
        assert self._db is not None
        return self._db

    def close(self) -> None:
        """Nothing is held any more."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._db, self._lock = None, -1

    def read(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """The connection, for statements that read."""
        return self._translated()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction, durably committed at the end of the block."""
        with self._translated() as db, self._turn():
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                raise

    def shrink(self) -> None:
        """Pages nobody uses are given back to the disk."""
        with self._translated() as db, self._turn():
            db.executescript("PRAGMA incremental_vacuum")  # execute() would free one page
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(self) -> None:
        """The file can be used; StoreError if it is damaged, as far as looking at it can tell."""
        _check_header(self.path)
        if self.path.exists() and self.path.stat().st_size <= CHECKED:
            self._look()
        with self._translated():
            pass

    def _look(self) -> None:
        """Through a connection that reads only: closing another one may write to the file."""
        try:
            reading = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            with contextlib.closing(reading) as db:
                [(verdict,)] = db.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.Error as fault:
            raise self._told(fault) from fault
        if verdict != "ok":
            raise _corrupt(self.path)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self.db
        except sqlite3.Error as fault:
            raise self._told(fault) from fault
        except OSError as fault:
            self.close()
            raise StoreError(
                "unavailable", f"cannot use {self.path}: {(fault.strerror or 'failed').lower()}"
            ) from fault

    def _told(self, fault: sqlite3.Error) -> StoreError:
        """What an error of SQLite means; after one of the disk the file is opened anew."""
        code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return StoreError("slow", f"{self.path} is locked by a process that is not fi-fhir")
        self.close()
        if code in _CORRUPT:
            return _corrupt(self.path)
        if code in _FULL:
            return StoreError("full", f"no room for {self.path} on its disk")
        if code in _READ_ONLY:
            return StoreError("read_only", f"{self.path} may not be written")
        name = getattr(fault, "sqlite_errorname", "")
        return StoreError("unavailable", f"{self.path} cannot be used ({name or 'SQLite error'})")

    def _open(self) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists() and wal.stat().st_size and not self.path.exists():
            raise StoreError(
                "corrupt",
                f"{wal} is there and {self.path} is not: the database was moved or deleted without "
                "it. Put both back, or move the -wal file away to begin anew",
            )
        _check_header(self.path)
        self._lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        with self._turn():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY / 1000)
            self._db.row_factory = sqlite3.Row
            for pragma in _PRAGMAS:
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            self._migrate(self._db)
            _forget_leases_of_another_start(self._db)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)  # the file's name is durable too
        finally:
            os.close(directory)

    @staticmethod
    def _migrate(db: sqlite3.Connection) -> None:
        db.execute(
            "CREATE TABLE IF NOT EXISTS schema_version "
            "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at REAL NOT NULL)"
        )
        applied = [row[0] for row in db.execute("SELECT version FROM schema_version")]
        for step in migrations.missing(migrations.steps("sqlite"), applied):
            note = (
                f"INSERT INTO schema_version VALUES ({step.number}, '{step.name}', {time.time()})"  # noqa: S608 - our own file's name
            )
            db.executescript(f"BEGIN IMMEDIATE;\n{step.sql}\n{note};\nCOMMIT;")


def _forget_leases_of_another_start(db: sqlite3.Connection) -> None:
    """Leases end by a clock that begins anew with the machine, and so do they."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    row = db.execute("SELECT boot_id FROM machine").fetchone()
    if row is not None and row[0] == boot:
        return
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM machine")
    db.execute("INSERT INTO machine VALUES (?)", (boot,))
    db.execute("UPDATE order_keys SET leased_until = 0")
    db.execute("UPDATE dlq_events SET leased_until = 0")
    db.execute("COMMIT")


def _check_header(path: Path) -> None:
    """SQLite itself would mend the header from the -wal, whatever the rest of the file is."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if file.read(len(_MAGIC)) not in {b"", _MAGIC}:
            raise _corrupt(path)


def _corrupt(path: Path) -> StoreError:
    return StoreError(
        "corrupt",
        f"{path} is damaged and was left as it is. Stop fi-fhir, keep a copy of it with its -wal, "
        f"and restore a backup, or save what can be read: sqlite3 {path} .recover | "
        "sqlite3 recovered.db",
    )
