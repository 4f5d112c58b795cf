"""The dead letters in SQLite: every function is one part of a transaction that its caller began."""

import time
from collections.abc import Sequence
from sqlite3 import Connection

from fifhir.store import Count, DeadLetter, Query, Taken, merged, text
from fifhir.store.rows import HEAD, letter_of
from fifhir.store.sealing import Seal

_BATCH = 500  # rows a statement deletes or encrypts, so that others get their turn


def bury(db: Connection, letters: Sequence[DeadLetter], seal: Seal) -> None:
    now = time.time()
    for letter in merged(letters):
        id_ = text(letter.id)
        db.execute(
            f"INSERT INTO dlq_events ({HEAD}, payload, raw, key_id) "  # noqa: S608 - a constant
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (original_event_id, route_name, action_index) DO UPDATE SET "
            "error_message = excluded.error_message, error_type = excluded.error_type, "
            "error_count = error_count + excluded.error_count, blocks = excluded.blocks, "
            "trace = excluded.trace, last_failed_at = excluded.last_failed_at",
            (
                id_,
                text(letter.event_id),
                text(letter.event_type),
                text(letter.source),
                text(letter.route),
                letter.action,
                letter.action_index,
                letter.key,
                letter.error,
                letter.error_type,
                letter.attempts,
                text(letter.blocks),
                letter.trace,
                now,
                now,
                seal.close(letter.event, id_, "payload"),
                seal.close(letter.raw, id_, "raw"),
                seal.name,
            ),
        )


def _where(query: Query) -> tuple[str, list[object]]:
    """The condition of a query and its parameters."""
    terms, values = ["1"], list[object]()
    for term, value in (
        ("last_failed_at >= ?", query.since),
        ("last_failed_at < ?", query.until),
        ("route_name = ?", query.route),
        ("error_type = ?", query.error_type),
    ):
        if value:
            terms.append(term)
            values.append(value)
    for column, among in (("event_type", query.event_types), ("id", query.ids)):
        if among:
            terms.append(f"{column} IN ({', '.join('?' * len(among))})")
            values += among
    return " AND ".join(terms), values


def count(db: Connection, query: Query) -> int:
    where, values = _where(query)
    row = db.execute(f"SELECT count(*) FROM dlq_events WHERE {where}", values).fetchone()  # noqa: S608
    return int(row[0])


def find(db: Connection, query: Query, limit: int) -> list[DeadLetter]:
    where, values = _where(query)
    rows = db.execute(
        f"SELECT {HEAD} FROM dlq_events WHERE {where} "  # noqa: S608
        "ORDER BY last_failed_at DESC, id LIMIT ?",
        (*values, limit),
    )
    return [letter_of(row, None, float) for row in rows]


def get(db: Connection, id_: str, seal: Seal) -> DeadLetter | None:
    row = db.execute("SELECT * FROM dlq_events WHERE id = ?", (id_,)).fetchone()
    return None if row is None else letter_of(row, seal, float)


def stats(db: Connection, query: Query) -> list[Count]:
    where, values = _where(query)
    rows = db.execute(
        "SELECT route_name, action_type, event_type, error_type, count(*) AS letters, "  # noqa: S608
        "min(first_failed_at) AS oldest, max(last_failed_at) AS newest FROM dlq_events "
        f"WHERE {where} GROUP BY 1, 2, 3, 4 ORDER BY letters DESC, 1, 2, 3, 4",
        values,
    )
    return [
        Count(
            route=row["route_name"],
            action=row["action_type"],
            event_type=row["event_type"],
            error_type=row["error_type"],
            letters=row["letters"],
            oldest=row["oldest"],
            newest=row["newest"],
        )
        for row in rows
    ]


def take(db: Connection, query: Query, limit: int, lease: float, seal: Seal) -> list[Taken]:
    where, values = _where(query)
    now = time.monotonic()
    rows = db.execute(
        "UPDATE dlq_events SET token = token + 1, leased_until = ? WHERE id IN "  # noqa: S608
        f"(SELECT id FROM dlq_events WHERE {where} AND leased_until <= ? "
        "ORDER BY first_failed_at, id LIMIT ?) RETURNING *",
        (now + lease, *values, now, limit),
    ).fetchall()
    rows.sort(key=lambda row: (row["first_failed_at"], row["id"]))
    return [Taken(letter_of(row, seal, float), row["token"]) for row in rows]


def keep(db: Connection, taken: Sequence[Taken], lease: float) -> None:
    _lease(db, taken, time.monotonic() + lease)


def put_back(db: Connection, taken: Sequence[Taken]) -> None:
    _lease(db, taken, 0.0)


def _lease(db: Connection, taken: Sequence[Taken], until: float) -> None:
    """What of these is still held by whoever took it is held until then."""
    db.executemany(
        "UPDATE dlq_events SET leased_until = ? WHERE id = ? AND token = ?",
        [(until, each.letter.id, each.token) for each in taken],
    )


def resolve(db: Connection, taken: Sequence[Taken]) -> list[bool]:
    delete = "DELETE FROM dlq_events WHERE id = ? AND token = ?"
    return [db.execute(delete, (each.letter.id, each.token)).rowcount > 0 for each in taken]


def fail_again(db: Connection, taken: Taken, error: str, error_type: str) -> bool:
    changed = db.execute(
        "UPDATE dlq_events SET error_message = ?, error_type = ?, error_count = error_count + 1, "
        "last_failed_at = ?, leased_until = 0 WHERE id = ? AND token = ?",
        (error, error_type, time.time(), taken.letter.id, taken.token),
    )
    return changed.rowcount > 0


def purge(db: Connection, query: Query) -> int:
    """Some letters that nobody replays now are deleted; how many, 0 if there are no more."""
    where, values = _where(query)
    return db.execute(
        f"DELETE FROM dlq_events WHERE id IN (SELECT id FROM dlq_events WHERE {where} "  # noqa: S608
        "AND leased_until <= ? LIMIT ?)",
        (*values, time.monotonic(), _BATCH),
    ).rowcount


def rekey(db: Connection, table: str, id_column: str, seal: Seal) -> int:
    """Some rows of another key are encrypted with the newest; how many, 0 if there are no more."""
    rows = db.execute(
        f"SELECT rowid AS number, {id_column} AS row, key_id, payload, raw FROM {table} "  # noqa: S608
        "WHERE key_id <> ? LIMIT ?",
        (seal.name, _BATCH),
    ).fetchall()
    for row in rows:
        again = [
            seal.again(row["key_id"], row[column], row["row"], column)
            for column in ("payload", "raw")
        ]
        db.execute(
            f"UPDATE {table} SET payload = ?, raw = ?, key_id = ? WHERE rowid = ?",  # noqa: S608
            (*again, seal.name, row["number"]),
        )
    return len(rows)


def keys_in_use(db: Connection) -> set[str]:
    rows = db.execute(
        "SELECT DISTINCT key_id FROM dlq_events UNION "
        "SELECT DISTINCT key_id FROM workflow_events WHERE status = 'pending'"
    )
    return {row[0] for row in rows}
