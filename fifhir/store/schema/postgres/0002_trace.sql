-- Which trace a row belongs to: a traceparent (W3C Trace Context), or empty.

ALTER TABLE workflow_events ADD COLUMN trace text NOT NULL DEFAULT '';
ALTER TABLE dlq_events ADD COLUMN trace text NOT NULL DEFAULT '';
