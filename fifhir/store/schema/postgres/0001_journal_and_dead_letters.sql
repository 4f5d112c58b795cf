-- The journal, the dead letters and the audit log.

CREATE TABLE workflow_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event_id text NOT NULL,
    event_type text NOT NULL,
    source text NOT NULL,
    order_key text NOT NULL,
    payload bytea NOT NULL,          -- the event's JSON
    raw bytea NOT NULL,              -- the whole original message
    key_id text NOT NULL,            -- what payload and raw are encrypted with; empty: nothing
    status text NOT NULL,            -- pending or done
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);   -- a partition a day: dropping one gives its disk back
CREATE INDEX workflow_events_pending ON workflow_events (order_key, id) WHERE status = 'pending';
CREATE TABLE workflow_events_other PARTITION OF workflow_events DEFAULT;

CREATE TABLE message_keys (          -- what a repeat of a message is known by
    identity bytea NOT NULL,         -- of its listener, MSH-3, MSH-4 and MSH-10
    digest bytea NOT NULL,           -- of its bytes
    answer bytea NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (identity, digest)
);
CREATE INDEX message_keys_seen ON message_keys USING brin (seen_at);

CREATE TABLE order_keys (            -- who delivers the entries of an order key
    order_key text PRIMARY KEY,
    token bigint NOT NULL DEFAULT 0,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    handed bigint,                   -- the last entry the owner has; null: it gave the key back
    careful_to bigint NOT NULL DEFAULT 0 -- up to here entries are handed out one at a time
) WITH (fillfactor = 50);

CREATE TABLE dlq_events (
    id text PRIMARY KEY,
    original_event_id text NOT NULL,
    event_type text NOT NULL,
    source text NOT NULL,
    route_name text NOT NULL,
    action_type text NOT NULL,
    action_index integer NOT NULL,
    idempotency_key text NOT NULL,
    payload bytea NOT NULL,          -- the event's JSON as the action would have received it
    raw bytea NOT NULL,
    key_id text NOT NULL,
    error_message text NOT NULL,
    error_type text NOT NULL,
    error_count integer NOT NULL,
    blocks text NOT NULL,            -- the order key that waits for this letter, or empty
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    token bigint NOT NULL DEFAULT 0,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    UNIQUE (original_event_id, route_name, action_index)
);
CREATE INDEX dlq_events_last ON dlq_events (last_failed_at);
CREATE INDEX dlq_events_blocks ON dlq_events (blocks) WHERE blocks <> '';

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL
);
