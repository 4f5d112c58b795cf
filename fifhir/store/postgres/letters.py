"""The dead letters in Postgres: every function is one part of a transaction of its caller."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from fifhir.store import Count, DeadLetter, Query, Taken, merged, text
from fifhir.store.postgres.session import Connection
from fifhir.store.rows import HEAD, letter_of
from fifhir.store.sealing import Seal

_BATCH = 500  # rows a statement deletes or encrypts, so that no transaction is long
_BURY = """
INSERT INTO dlq_events AS d
    (id, original_event_id, event_type, source, route_name, action_type, action_index,
     idempotency_key, error_message, error_type, error_count, blocks, trace, payload, raw, key_id,
     first_failed_at, last_failed_at)
SELECT g.*, $16, now(), now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[],
            $8::text[], $9::text[], $10::text[], $11::int[], $12::text[], $13::text[],
            $14::bytea[], $15::bytea[]) AS g
ON CONFLICT (original_event_id, route_name, action_index) DO UPDATE
SET error_message = excluded.error_message, error_type = excluded.error_type,
    error_count = d.error_count + excluded.error_count, blocks = excluded.blocks,
    trace = excluded.trace, last_failed_at = excluded.last_failed_at
"""
# What a query chooses, always with the same five parameters; what is empty does not choose.
_WHERE = """
    ($1::timestamptz IS NULL OR last_failed_at >= $1)
    AND ($2::timestamptz IS NULL OR last_failed_at < $2)
    AND ($3 = '' OR route_name = $3)
    AND ($4 = '' OR error_type = $4)
    AND (cardinality($5::text[]) = 0 OR event_type = ANY($5))
    AND (cardinality($6::text[]) = 0 OR id = ANY($6))
"""


async def bury(db: Connection, letters: Sequence[DeadLetter], seal: Seal) -> None:
    if not letters:
        return
    rows = [
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
            seal.close(letter.event, id_, "payload"),
            seal.close(letter.raw, id_, "raw"),
        )
        for letter in merged(letters)
        for id_ in [text(letter.id)]
    ]
    await db.execute(_BURY, *map(list, zip(*rows, strict=True)), seal.name)


def _parameters(query: Query) -> tuple[object, ...]:
    return (
        _moment(query.since),
        _moment(query.until),
        query.route,
        query.error_type,
        list(query.event_types),
        list(query.ids),
    )


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


async def count(db: Connection, query: Query) -> int:
    found = await db.fetchval(
        f"SELECT count(*) FROM dlq_events WHERE {_WHERE}",  # noqa: S608 - a constant
        *_parameters(query),
    )
    return int(found)


async def find(db: Connection, query: Query, limit: int) -> list[DeadLetter]:
    rows = await db.fetch(
        f"SELECT {HEAD} FROM dlq_events WHERE {_WHERE} "  # noqa: S608 - constants
        "ORDER BY last_failed_at DESC, id LIMIT $7",
        *_parameters(query),
        limit,
    )
    return [letter_of(row, None, datetime.timestamp) for row in rows]


async def get(db: Connection, id_: str, seal: Seal) -> DeadLetter | None:
    row = await db.fetchrow("SELECT * FROM dlq_events WHERE id = $1", text(id_))
    return None if row is None else letter_of(row, seal, datetime.timestamp)


async def stats(db: Connection, query: Query) -> list[Count]:
    rows = await db.fetch(
        "SELECT route_name, action_type, event_type, error_type, count(*) AS letters, "  # noqa: S608
        "min(first_failed_at) AS oldest, max(last_failed_at) AS newest FROM dlq_events "
        f"WHERE {_WHERE} GROUP BY 1, 2, 3, 4 ORDER BY letters DESC, 1, 2, 3, 4",
        *_parameters(query),
    )
    return [
        Count(
            route=row["route_name"],
            action=row["action_type"],
            event_type=row["event_type"],
            error_type=row["error_type"],
            letters=row["letters"],
            oldest=row["oldest"].timestamp(),
            newest=row["newest"].timestamp(),
        )
        for row in rows
    ]


async def take(db: Connection, query: Query, limit: int, lease: float, seal: Seal) -> list[Taken]:
    rows = await db.fetch(
        "WITH picked AS MATERIALIZED (SELECT id FROM dlq_events WHERE "  # noqa: S608 - constants
        f"{_WHERE} AND leased_until <= now() ORDER BY first_failed_at, id LIMIT $7 "
        "FOR UPDATE SKIP LOCKED) "
        "UPDATE dlq_events d SET token = token + 1, leased_until = now() + $8::interval "
        "FROM picked WHERE d.id = picked.id RETURNING d.*",
        *_parameters(query),
        limit,
        timedelta(seconds=lease),
    )
    rows.sort(key=lambda row: (row["first_failed_at"], row["id"]))
    return [Taken(letter_of(row, seal, datetime.timestamp), row["token"]) for row in rows]


async def keep(db: Connection, taken: Sequence[Taken], lease: float) -> None:
    await _lease(db, taken, "now() + $3::interval", timedelta(seconds=lease))


async def put_back(db: Connection, taken: Sequence[Taken]) -> None:
    await _lease(db, taken, "'-infinity'")


async def _lease(db: Connection, taken: Sequence[Taken], until: str, *value: object) -> None:
    """What of these is still held by whoever took it is held until then."""
    await db.execute(
        "WITH given AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS g (id, token)), "  # noqa: S608 - constants
        "locked AS MATERIALIZED (SELECT id FROM dlq_events JOIN given USING (id, token) "
        "ORDER BY id FOR UPDATE OF dlq_events) "
        f"UPDATE dlq_events d SET leased_until = {until} FROM locked WHERE d.id = locked.id",
        [each.letter.id for each in taken],
        [each.token for each in taken],
        *value,
    )


async def resolve(db: Connection, taken: Sequence[Taken]) -> list[bool]:
    rows = await db.fetch(
        "WITH given AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS g (id, token)), "
        "locked AS MATERIALIZED (SELECT id FROM dlq_events JOIN given USING (id, token) "
        "ORDER BY id FOR UPDATE OF dlq_events) "
        "DELETE FROM dlq_events d USING locked WHERE d.id = locked.id RETURNING d.id, d.token",
        [each.letter.id for each in taken],
        [each.token for each in taken],
    )
    gone = {(row["id"], row["token"]) for row in rows}
    return [(each.letter.id, each.token) in gone for each in taken]


async def fail_again(db: Connection, taken: Taken, error: str, error_type: str) -> bool:
    told = await db.execute(
        "UPDATE dlq_events SET error_message = $3, error_type = $4, error_count = error_count + 1, "
        "last_failed_at = now(), leased_until = '-infinity' WHERE id = $1 AND token = $2",
        taken.letter.id,
        taken.token,
        error,
        error_type,
    )
    return bool(told != "UPDATE 0")


async def purge(db: Connection, query: Query) -> int:
    """Some letters that nobody replays now are deleted; how many, 0 if there are no more."""
    told = await db.execute(
        "DELETE FROM dlq_events WHERE id IN (SELECT id FROM dlq_events WHERE "  # noqa: S608
        f"{_WHERE} AND leased_until <= now() LIMIT $7 FOR UPDATE SKIP LOCKED)",
        *_parameters(query),
        _BATCH,
    )
    return int(told.split()[1])


async def rekey(db: Connection, table: str, id_column: str, seal: Seal) -> int:
    """Some rows of another key are encrypted with the newest; how many, 0 if there are no more."""
    rows = await db.fetch(
        f"SELECT id, {id_column} AS row, key_id, payload, raw FROM {table} "  # noqa: S608
        "WHERE key_id <> $1 LIMIT $2 FOR UPDATE SKIP LOCKED",
        seal.name,
        _BATCH,
    )
    update = f"UPDATE {table} SET payload = $2, raw = $3, key_id = $4 WHERE id = $1"  # noqa: S608
    for row in rows:
        again = [
            seal.again(row["key_id"], row[column], row["row"], column)
            for column in ("payload", "raw")
        ]
        await db.execute(update, row["id"], *again, seal.name)
    return len(rows)


async def keys_in_use(db: Connection) -> set[str]:
    rows = await db.fetch(
        "SELECT DISTINCT key_id FROM dlq_events UNION "
        "SELECT DISTINCT key_id FROM workflow_events WHERE status = 'pending'"
    )
    return {row[0] for row in rows}
