"""Stores of either kind to test with, and invented messages and letters to put into them."""

import asyncio
import hashlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import structs

from fifhir.errors import StoreError
from fifhir.store import DeadLetter, Entry, Store
from fifhir.store.config import Database, StoreSettings
from fifhir.store.opening import store

T = TypeVar("T")


class Place:
    """Where a store is; it can be opened again and again, as by many processes."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def store(self, most_letters: int = 10_000, share: int = 5, **settings: Any) -> Store:
        """A store of one process, not opened."""
        given = {"data_dir": str(self.folder), "timeout": 30.0, **settings}
        processes = self.database.max_open_conns // share
        return store(self.database, StoreSettings(**given), most_letters, processes)


class Loop:
    """Runs coroutines in one loop, as a worker does."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.opened: list[Store] = []

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def refused(self, store: Store) -> StoreError:
        """Why the store cannot be opened."""
        with pytest.raises(StoreError) as fault:
            self(store.open())
        self(store.close())
        assert not store.ready
        return fault.value

    def open(self, store: Store) -> Store:
        self.opened.append(store)
        self(store.open())
        return store


def entry(control_id: str = "", order_key: str = "LAB|CITY", **changed: Any) -> Entry:
    """A message that was accepted; without a control id it is never a repeat."""
    raw = changed.pop(
        "raw", b"MSH|^~\\&|LAB|CITY|||||ADT^A01|" + control_id.encode(errors="replace") + b"\r"
    )
    made = Entry(
        event_id=f"event-{control_id}",
        event_type="patient_admit",
        source="lab",
        order_key=order_key,
        raw=raw,
        event=b'{"type":"patient_admit"}',
        answer=b"AA",
        application="LAB",
        facility="CITY",
        control_id=control_id,
        digest=hashlib.sha256(raw).digest(),
    )
    return structs.replace(made, **changed)


def letter(number: int = 1, **changed: Any) -> DeadLetter:
    """A dead letter; letters of different numbers are of different events."""
    made = DeadLetter(
        id=f"letter-{number}",
        event_id=f"event-{number}",
        event_type="lab_result",
        source="lab",
        route="results",
        action="webhook",
        action_index=0,
        key=f"key-{number}",
        raw=b"MSH|^~\\&|LAB\rPID|1\r\x00\xff",
        event=b'{"type":"lab_result","n":1}',
        error="destination answered 503",
        error_type="server_error",
    )
    return structs.replace(made, **changed)
