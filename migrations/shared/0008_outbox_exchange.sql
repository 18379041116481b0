-- How far the numbers of the outbox's rows have been drawn, and who may be about to commit a row under one
-- of them. Whoever inserts takes this lock before drawing a number and holds it until the row is visible, so
-- once all of `writers` have ended there will never be another row numbered up to `numbered`.
CREATE FUNCTION outbox_mark(OUT numbered bigint, OUT writers text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- Before the locks are looked at.
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO numbered FROM outbox_seq_seq;
    SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO writers FROM pg_locks l
        WHERE l.locktype = 'relation' AND l.relation = 'outbox'::regclass AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.mode = 'RowExclusiveLock';
END $$;

-- Rows that a relay could not read: of a topic that only a newer program knows, or of nonsense. They wait
-- here for that program or for a person, and don't hold up the others.
CREATE TABLE outbox_set_aside (
    seq          bigint NOT NULL,
    lane         smallint NOT NULL,
    version      integer NOT NULL,
    ordinal      smallint NOT NULL,
    at           timestamptz NOT NULL,
    id           uuid NOT NULL,
    order_id     uuid NOT NULL,
    topic        text COLLATE "C" NOT NULL,
    traceparent  text COLLATE "C",
    payload      text COLLATE "C" NOT NULL,
    reason       text NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lane, seq)
);
