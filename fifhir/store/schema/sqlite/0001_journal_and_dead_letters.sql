-- The journal, the dead letters and the audit log. Times are seconds since 1970, except that
-- leases end by the clock that runs since the machine was started (`machine` says which start).

CREATE TABLE workflow_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    source TEXT NOT NULL,
    order_key TEXT NOT NULL,
    payload BLOB NOT NULL,           -- the event's JSON
    raw BLOB NOT NULL,               -- the whole original message
    key_id TEXT NOT NULL,            -- what payload and raw are encrypted with; empty: nothing
    status TEXT NOT NULL,            -- pending or done
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    processed_at REAL
);
CREATE INDEX workflow_events_pending ON workflow_events (order_key, id) WHERE status = 'pending';
CREATE INDEX workflow_events_done ON workflow_events (processed_at) WHERE status = 'done';

CREATE TABLE message_keys (          -- what a repeat of a message is known by
    identity BLOB NOT NULL,          -- of its listener, MSH-3, MSH-4 and MSH-10
    digest BLOB NOT NULL,            -- of its bytes
    answer BLOB NOT NULL,
    seen_at REAL NOT NULL,
    PRIMARY KEY (identity, digest)
) WITHOUT ROWID;
CREATE INDEX message_keys_seen ON message_keys (seen_at);

CREATE TABLE order_keys (            -- who delivers the entries of an order key
    order_key TEXT PRIMARY KEY,
    token INTEGER NOT NULL DEFAULT 0,
    leased_until REAL NOT NULL DEFAULT 0,
    handed INTEGER,                  -- the last entry the owner has; null: it gave the key back
    careful_to INTEGER NOT NULL DEFAULT 0 -- up to here entries are handed out one at a time
) WITHOUT ROWID;

CREATE TABLE dlq_events (
    id TEXT PRIMARY KEY,
    original_event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    source TEXT NOT NULL,
    route_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    action_index INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    payload BLOB NOT NULL,           -- the event's JSON as the action would have received it
    raw BLOB NOT NULL,
    key_id TEXT NOT NULL,
    error_message TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error_count INTEGER NOT NULL,
    blocks TEXT NOT NULL,            -- the order key that waits for this letter, or empty
    first_failed_at REAL NOT NULL,
    last_failed_at REAL NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    leased_until REAL NOT NULL DEFAULT 0,
    UNIQUE (original_event_id, route_name, action_index)
);
CREATE INDEX dlq_events_last ON dlq_events (last_failed_at);
CREATE INDEX dlq_events_blocks ON dlq_events (blocks) WHERE blocks <> '';

CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    details TEXT NOT NULL
);

CREATE TABLE machine (boot_id TEXT NOT NULL);
