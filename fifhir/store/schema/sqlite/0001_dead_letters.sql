CREATE TABLE dlq_events (
    id TEXT PRIMARY KEY,
    original_event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    source TEXT NOT NULL,
    route_name TEXT NOT NULL,
    action_type TEXT NOT NULL,
    action_index INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    original_message BLOB NOT NULL,
    payload BLOB NOT NULL,
    error_message TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error_count INTEGER NOT NULL,
    first_failed_at REAL NOT NULL,
    last_failed_at REAL NOT NULL,
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_until REAL NOT NULL DEFAULT 0,
    UNIQUE (original_event_id, route_name, action_index)
) STRICT;
CREATE INDEX dlq_events_by_time ON dlq_events (last_failed_at);
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
