-- Rows that the relay could not read, see PostgreSQL's table of the same name.
CREATE TABLE outbox_set_aside (
    seq         INTEGER PRIMARY KEY,
    owner       INTEGER NOT NULL,
    lane        INTEGER NOT NULL,
    order_id    BLOB NOT NULL,
    message_id  BLOB NOT NULL,
    topic       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    payload     TEXT NOT NULL,
    traceparent TEXT,
    inserted_at INTEGER NOT NULL,
    reason      TEXT NOT NULL
);
