"""The journal in Postgres: every function is one part of a transaction that its caller began."""

from collections.abc import Sequence
from datetime import timedelta

from asyncpg import Record

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
from fifhir.store.postgres import letters
from fifhir.store.postgres.session import Connection, alone
from fifhir.store.sealing import Seal

_BATCH = 5000  # rows a statement deletes, so that no transaction is long
AHEAD = 3  # days that have their partition before they begin

# One statement for a whole group. `fresh` takes the keys not seen within the window; an entry goes
# into the journal if it has none, or if its key was taken by this very statement.
_RECORD = """
WITH given AS (
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[],
                         $7::text[], $8::bytea[], $9::bytea[], $10::text[], $11::boolean[])
    WITH ORDINALITY AS g (identity, digest, answer, event_id, event_type, source, order_key,
                          payload, raw, trace, wanted, n)
), fresh AS (
    INSERT INTO message_keys AS m (identity, digest, answer, seen_at)
    SELECT identity, digest, answer, now() FROM given WHERE identity IS NOT NULL
    ORDER BY identity, digest
    ON CONFLICT (identity, digest) DO UPDATE
        SET answer = excluded.answer, seen_at = excluded.seen_at
        WHERE m.seen_at < now() - $13::interval
    RETURNING identity, digest
), kept AS (
    INSERT INTO workflow_events
        (event_id, event_type, source, order_key, payload, raw, trace, key_id, status, processed_at)
    SELECT event_id, event_type, source, order_key, payload, raw, trace, $12,
           CASE WHEN wanted THEN 'pending' ELSE 'done' END,
           CASE WHEN wanted THEN NULL ELSE now() END
    FROM given g
    WHERE identity IS NULL OR (identity, digest) IN (SELECT identity, digest FROM fresh)
    ORDER BY n
), lanes AS (
    INSERT INTO order_keys (order_key) SELECT DISTINCT order_key FROM given WHERE wanted ORDER BY 1
    ON CONFLICT DO NOTHING
)
SELECT set_config('synchronous_commit', 'on', true),
       g.identity IS NULL OR f.identity IS NOT NULL AS fresh,
       EXISTS (SELECT 1 FROM message_keys m WHERE m.identity = g.identity AND m.digest <> g.digest)
           AS reused
FROM given g LEFT JOIN fresh f USING (identity, digest) ORDER BY g.n
"""

# Two statements, because what is seen of entries has to be seen after their key is had. The first
# one's commit need not be waited for: the second one's covers it.
_CLAIM = """
WITH free AS (
    SELECT order_key FROM order_keys k
    WHERE leased_until <= now()
      AND EXISTS (SELECT 1 FROM workflow_events e
                  WHERE e.order_key = k.order_key AND e.status = 'pending')
      AND NOT EXISTS (SELECT 1 FROM dlq_events d
                      WHERE d.blocks = k.order_key AND d.blocks <> '')
    ORDER BY leased_until LIMIT $1 FOR UPDATE OF k SKIP LOCKED
)
UPDATE order_keys k
SET token = token + 1, leased_until = now() + $2::interval,
    careful_to = greatest(careful_to, handed)
FROM free WHERE k.order_key = free.order_key
RETURNING k.order_key, k.token, k.careful_to, set_config('synchronous_commit', 'off', true)
"""

_ENTRIES = """
WITH had AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS h (order_key, token, careful_to)
), found AS MATERIALIZED (
    SELECT e.*, e.id = min(e.id) OVER key AS head, min(e.id) OVER key <= h.careful_to AS careful
    FROM had h CROSS JOIN LATERAL (
        SELECT * FROM workflow_events e WHERE e.order_key = h.order_key AND e.status = 'pending'
        ORDER BY e.id LIMIT $4
    ) e WINDOW key AS (PARTITION BY e.order_key)
), handed AS (
    SELECT * FROM found WHERE head OR NOT careful
), counted AS (
    UPDATE workflow_events e SET attempts = e.attempts + 1
    FROM handed h WHERE h.head AND e.id = h.id AND e.created_at = h.created_at
), noted AS (
    UPDATE order_keys k SET handed = l.last
    FROM had JOIN (SELECT order_key, max(id) AS last FROM handed GROUP BY 1) l USING (order_key)
    WHERE k.order_key = had.order_key AND k.token = had.token
)
SELECT *, set_config('synchronous_commit', 'on', true) FROM handed ORDER BY id
"""

# `owned` locks the keys in an order that all processes share.
_SETTLE = """
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::boolean[]) AS g (order_key, token, released)
), owned AS MATERIALIZED (
    SELECT k.order_key, k.token, k.released FROM (
        SELECT o.order_key, o.token, g.released FROM order_keys o
        JOIN given g USING (order_key, token) ORDER BY o.order_key FOR UPDATE OF o
    ) k
), done AS (
    UPDATE workflow_events e SET status = 'done', processed_at = now()
    FROM unnest($4::text[], $5::bigint[], $6::bigint[]) AS d (order_key, token, id)
    JOIN owned o USING (order_key, token)
    WHERE e.id = d.id AND e.status = 'pending'
), freed AS (
    UPDATE order_keys k SET leased_until = now(), handed = NULL
    FROM owned o WHERE k.order_key = o.order_key AND o.released
)
SELECT order_key, token, set_config('synchronous_commit', 'on', true) FROM owned
"""


def seconds(duration: float) -> timedelta:
    return timedelta(seconds=duration)


async def record(
    db: Connection, entries: Sequence[Entry], seal: Seal, window: float
) -> list[Recorded]:
    """As the protocol says; a message that is twice in the group is a repeat the second time."""
    first: dict[tuple[bytes, bytes], Entry] = {}
    for entry in entries:
        if identity := entry.identity:
            first.setdefault((identity, entry.digest), entry)
    alone = [
        entry
        for entry in entries
        if not (identity := entry.identity) or first[identity, entry.digest] is entry
    ]
    rows = await db.fetch(_RECORD, *_columns(alone, seal), seal.name, seconds(window))
    came: dict[int, Recorded] = {}
    for entry, row in zip(alone, rows, strict=True):
        if row["fresh"]:
            came[id(entry)] = Fresh(row["reused"])
        else:
            came[id(entry)] = Repeat(await _answer(db, entry))
    return [came.get(id(entry)) or Repeat(_first(entry, first, came)) for entry in entries]


def _first(
    entry: Entry, first: dict[tuple[bytes, bytes], Entry], came: dict[int, Recorded]
) -> bytes:
    """The answer of the same message earlier in the group."""
    assert entry.identity
    earlier = first[entry.identity, entry.digest]
    known = came[id(earlier)]
    return known.answer if isinstance(known, Repeat) else earlier.answer


async def _answer(db: Connection, entry: Entry) -> bytes:
    answer = await db.fetchval(
        "SELECT answer FROM message_keys WHERE identity = $1 AND digest = $2",
        entry.identity,
        entry.digest,
    )
    return bytes(answer)


def _columns(entries: Sequence[Entry], seal: Seal) -> list[list[object]]:
    ids = [text(entry.event_id) for entry in entries]
    rows = list(zip(ids, entries, strict=True))
    return [
        [entry.identity for entry in entries],
        [entry.digest for entry in entries],
        [entry.answer for entry in entries],
        [*ids],
        [text(entry.event_type) for entry in entries],
        [text(entry.source) for entry in entries],
        [text(entry.lane) for entry in entries],
        [seal.close(entry.event, id_, "payload") for id_, entry in rows],
        [seal.close(entry.raw, id_, "raw") for id_, entry in rows],
        [entry.trace for entry in entries],
        [entry.wanted for entry in entries],
    ]


async def claim(db: Connection, keys: int, entries: int, lease: float, seal: Seal) -> list[Claim]:
    free = await db.fetch(_CLAIM, keys, seconds(lease))
    if not free:
        return []
    tokens = {row["order_key"]: row["token"] for row in free}
    careful = [row["careful_to"] for row in free]
    rows = await db.fetch(_ENTRIES, list(tokens), list(tokens.values()), careful, entries)
    runs: dict[str, list[Pending]] = {}
    for row in rows:
        runs.setdefault(row["order_key"], []).append(_pending(row, seal))
    return [Claim(key, tokens[key], tuple(run)) for key, run in runs.items()]


def _pending(row: Record, seal: Seal) -> Pending:
    id_ = row["event_id"]
    return Pending(
        number=row["id"],
        event_id=id_,
        event_type=row["event_type"],
        source=row["source"],
        raw=seal.open(row["key_id"], row["raw"], id_, "raw"),
        event=seal.open(row["key_id"], row["payload"], id_, "payload"),
        recorded_at=row["created_at"].timestamp(),
        attempts=row["attempts"] + 1 if row["head"] else max(row["attempts"], 1),
        trace=row["trace"],
    )


async def backlog(db: Connection) -> tuple[int, float]:
    count, oldest = await db.fetchrow(
        "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)"
        "::float8 FROM (SELECT created_at FROM workflow_events WHERE status = 'pending' "
        "LIMIT $1) x",
        MOST_COUNTED,
    )
    return count, max(0.0, oldest)


async def renew(db: Connection, claim: Claim, lease: float) -> bool:
    told = await db.execute(
        "UPDATE order_keys SET leased_until = now() + $3::interval "
        "WHERE order_key = $1 AND token = $2",
        claim.order_key,
        claim.token,
        seconds(lease),
    )
    return bool(told != "UPDATE 0")


async def release(db: Connection, claim: Claim, delay: float, given_back: bool) -> None:
    told = await db.execute(
        "UPDATE order_keys SET leased_until = now() + $3::interval, handed = NULL "
        "WHERE order_key = $1 AND token = $2",
        claim.order_key,
        claim.token,
        seconds(delay),
    )
    if given_back and told != "UPDATE 0":
        await db.execute(
            "UPDATE workflow_events SET attempts = attempts - 1 "
            "WHERE id = $1 AND status = 'pending'",
            claim.entries[0].number,
        )


async def settle(db: Connection, settlements: Sequence[Settlement], seal: Seal) -> list[bool]:
    places = [(each.claim.order_key, each.claim.token) for each in settlements]
    done = [(*place, n) for place, each in zip(places, settlements, strict=True) for n in each.done]
    rows = await db.fetch(
        _SETTLE,
        [key for key, _ in places],
        [token for _, token in places],
        [each.release for each in settlements],
        [key for key, _, _ in done],
        [token for _, token, _ in done],
        [number for _, _, number in done],
    )
    owned = {(row["order_key"], row["token"]) for row in rows}
    kept = [each for each, place in zip(settlements, places, strict=True) if place in owned]
    await letters.bury(db, [letter for each in kept for letter in each.letters], seal)
    return [place in owned for place in places]


async def forget(db: Connection, window: float) -> bool:
    """Some keys that have outlived their time are deleted; whether there may be more."""
    told = await db.execute(
        "DELETE FROM message_keys WHERE (identity, digest) IN "
        "(SELECT identity, digest FROM message_keys WHERE seen_at < now() - $1::interval LIMIT $2)",
        seconds(window),
        _BATCH,
    )
    await db.execute(
        "DELETE FROM order_keys k WHERE handed IS NULL AND leased_until < now() - interval '1 hour'"
        " AND NOT EXISTS (SELECT 1 FROM workflow_events e WHERE e.order_key = k.order_key "
        "AND e.status = 'pending')"
    )
    # An entry recorded while its key was being deleted has none; it gets it back.
    await db.execute(
        "INSERT INTO order_keys (order_key) SELECT DISTINCT order_key FROM workflow_events "
        "WHERE status = 'pending' ON CONFLICT DO NOTHING"
    )
    return bool(told == f"DELETE {_BATCH}")


async def partitions(db: Connection) -> dict[str, int]:
    """The journal's partitions and how many whole days ago each one's day ended."""
    rows = await db.fetch(
        "SELECT c.relname AS name, (now() AT TIME ZONE 'UTC')::date - "
        "to_date(right(c.relname, 8), 'YYYYMMDD') - 1 AS days FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'workflow_events'::regclass AND c.relname ~ '_[0-9]{8}$'"
    )
    return {row["name"]: row["days"] for row in rows}


async def make_partition(db: Connection, ahead: int) -> None:
    """There is a partition for the day (UTC) so many days from now.

    Not if entries of that day are in the partition for all others already: there they stay.
    """
    await alone(db)
    day, following, taken = await db.fetchrow(
        "SELECT d, d + 1, EXISTS (SELECT 1 FROM workflow_events_other WHERE created_at >= "
        "d::timestamp AT TIME ZONE 'UTC' AND created_at < (d + 1)::timestamp AT TIME ZONE 'UTC') "
        "FROM (SELECT (now() AT TIME ZONE 'UTC')::date + $1::int AS d) x",
        ahead,
    )
    if not taken:
        await db.execute(
            f"CREATE TABLE IF NOT EXISTS workflow_events_{day:%Y%m%d} "
            "PARTITION OF workflow_events "
            f"FOR VALUES FROM ('{day} 00:00+00') TO ('{following} 00:00+00')"
        )


async def drop_partition(db: Connection, name: str) -> None:
    """The partition is gone and its disk given back, unless something in it is not delivered."""
    if not await db.fetchval(f"SELECT EXISTS (SELECT 1 FROM {name} WHERE status = 'pending')"):  # noqa: S608
        await db.execute(f"DROP TABLE {name}")


async def sweep(db: Connection, retention: float) -> None:
    """What landed outside every day's partition is deleted like the rest."""
    await db.execute(
        "DELETE FROM workflow_events_other "
        "WHERE status = 'done' AND processed_at < now() - $1::interval",
        seconds(retention),
    )
