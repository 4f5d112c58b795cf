"""The journal in SQLite: every function is one part of a transaction that its caller began."""

import time
from collections.abc import Sequence
from sqlite3 import Connection, Row

from fifhir.store import (
    MOST_COUNTED,
    Claim,
    Entry,
    Fresh,
    Pending,
    Recorded,
    Repeat,
    Settlement,
    text,
)
from fifhir.store.sealing import Seal
from fifhir.store.sqlite import letters

_BATCH = 1000  # rows a statement deletes, so that others get their turn


def record(db: Connection, entries: Sequence[Entry], seal: Seal, window: float) -> list[Recorded]:
    return [_record(db, entry, seal, window) for entry in entries]


def _record(db: Connection, entry: Entry, seal: Seal, window: float) -> Recorded:
    now, reused, identity = time.time(), False, entry.identity
    if identity is not None:
        known = db.execute(
            "SELECT digest, answer, seen_at FROM message_keys WHERE identity = ?", (identity,)
        ).fetchall()
        for row in known:
            if row["digest"] == entry.digest and row["seen_at"] >= now - window:
                return Repeat(row["answer"])
        reused = any(row["digest"] != entry.digest for row in known)
        db.execute(
            "INSERT OR REPLACE INTO message_keys VALUES (?, ?, ?, ?)",
            (identity, entry.digest, entry.answer, now),
        )
    lane, id_ = text(entry.lane), text(entry.event_id)
    if entry.wanted:
        db.execute("INSERT OR IGNORE INTO order_keys (order_key) VALUES (?)", (lane,))
    db.execute(
        "INSERT INTO workflow_events (event_id, event_type, source, order_key, payload, raw, "
        "key_id, status, created_at, processed_at, trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id_,
            text(entry.event_type),
            text(entry.source),
            lane,
            seal.close(entry.event, id_, "payload"),
            seal.close(entry.raw, id_, "raw"),
            seal.name,
            "pending" if entry.wanted else "done",
            now,
            None if entry.wanted else now,
            entry.trace,
        ),
    )
    return Fresh(reused)


def claim(db: Connection, keys: int, entries: int, lease: float, seal: Seal) -> list[Claim]:
    free = db.execute(
        "SELECT order_key, token, handed, careful_to FROM order_keys k WHERE leased_until <= ? "
        "AND EXISTS (SELECT 1 FROM workflow_events e WHERE e.order_key = k.order_key "
        "AND e.status = 'pending') "
        "AND NOT EXISTS (SELECT 1 FROM dlq_events d WHERE d.blocks = k.order_key "
        "AND d.blocks <> '') ORDER BY leased_until LIMIT ?",
        (time.monotonic(), keys),
    ).fetchall()
    return [_claim(db, row, entries, lease, seal) for row in free]


def _claim(db: Connection, free: Row, entries: int, lease: float, seal: Seal) -> Claim:
    key = free["order_key"]
    careful_to = max(free["careful_to"], free["handed"] or 0)
    rows = db.execute(
        "SELECT * FROM workflow_events WHERE order_key = ? AND status = 'pending' "
        "ORDER BY id LIMIT ?",
        (key, entries),
    ).fetchall()
    if rows[0]["id"] <= careful_to:
        rows = rows[:1]
    db.execute("UPDATE workflow_events SET attempts = attempts + 1 WHERE id = ?", (rows[0]["id"],))
    db.execute(
        "UPDATE order_keys SET token = token + 1, leased_until = ?, handed = ?, careful_to = ? "
        "WHERE order_key = ?",
        (time.monotonic() + lease, rows[-1]["id"], careful_to, key),
    )
    pending = [_pending(row, seal, first=row is rows[0]) for row in rows]
    return Claim(key, free["token"] + 1, tuple(pending))


def _pending(row: Row, seal: Seal, *, first: bool) -> Pending:
    id_ = row["event_id"]
    return Pending(
        number=row["id"],
        event_id=id_,
        event_type=row["event_type"],
        source=row["source"],
        raw=seal.open(row["key_id"], row["raw"], id_, "raw"),
        event=seal.open(row["key_id"], row["payload"], id_, "payload"),
        recorded_at=row["created_at"],
        attempts=row["attempts"] + 1 if first else max(row["attempts"], 1),
        trace=row["trace"],
    )


def backlog(db: Connection) -> tuple[int, float]:
    count, oldest = db.execute(
        "SELECT count(*), min(created_at) FROM (SELECT created_at FROM workflow_events "
        "WHERE status = 'pending' LIMIT ?)",
        (MOST_COUNTED,),
    ).fetchone()
    return count, max(0.0, time.time() - oldest) if count else 0.0


def renew(db: Connection, claim: Claim, lease: float) -> bool:
    return _owned(db, "UPDATE order_keys SET leased_until = ?", claim, time.monotonic() + lease)


def release(db: Connection, claim: Claim, delay: float, given_back: bool) -> None:
    update, until = (
        "UPDATE order_keys SET leased_until = ?, handed = NULL",
        time.monotonic() + delay,
    )
    if _owned(db, update, claim, until) and given_back:
        db.execute(
            "UPDATE workflow_events SET attempts = attempts - 1 "
            "WHERE id = ? AND status = 'pending'",
            (claim.entries[0].number,),
        )


def _owned(db: Connection, update: str, claim: Claim, until: float) -> bool:
    where = " WHERE order_key = ? AND token = ?"
    return db.execute(update + where, (until, claim.order_key, claim.token)).rowcount > 0


def settle(db: Connection, settlements: Sequence[Settlement], seal: Seal) -> list[bool]:
    return [_settle(db, each, seal) for each in settlements]


def _settle(db: Connection, settlement: Settlement, seal: Seal) -> bool:
    claim, now = settlement.claim, time.time()
    owner = db.execute(
        "SELECT 1 FROM order_keys WHERE order_key = ? AND token = ?", (claim.order_key, claim.token)
    ).fetchone()
    if owner is None:
        return False
    db.executemany(
        "UPDATE workflow_events SET status = 'done', processed_at = ? "
        "WHERE id = ? AND order_key = ? AND status = 'pending'",
        [(now, number, claim.order_key) for number in settlement.done],
    )
    letters.bury(db, settlement.letters, seal)
    if settlement.release:
        release(db, claim, 0.0, False)
    return True


def forget(db: Connection, retention: float, window: float) -> bool:
    """Some of what has outlived its time is deleted; whether there may be more."""
    now = time.time()
    deleted = [
        db.execute(
            "DELETE FROM workflow_events WHERE id IN (SELECT id FROM workflow_events "
            "WHERE status = 'done' AND processed_at < ? LIMIT ?)",
            (now - retention, _BATCH),
        ).rowcount,
        db.execute(
            "DELETE FROM message_keys WHERE (identity, digest) IN "
            "(SELECT identity, digest FROM message_keys WHERE seen_at < ? LIMIT ?)",
            (now - window, _BATCH),
        ).rowcount,
        db.execute(
            "DELETE FROM order_keys WHERE order_key IN (SELECT order_key FROM order_keys k "
            "WHERE handed IS NULL AND leased_until < ? AND NOT EXISTS "
            "(SELECT 1 FROM workflow_events e WHERE e.order_key = k.order_key "
            "AND e.status = 'pending') LIMIT ?)",
            (time.monotonic() - 3600, _BATCH),
        ).rowcount,
    ]
    return _BATCH in deleted
