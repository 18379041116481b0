-- The outbox and the relays' leases: the same tables in both databases, so that the same
-- statements work on both.

CREATE TABLE outbox (
    -- Ordered within a lane; (lane, seq) is what the relay knows a row by, so that no other
    -- index on seq is needed.
    seq         bigint GENERATED ALWAYS AS IDENTITY (CACHE 32),
    lane        smallint NOT NULL,
    version     integer NOT NULL,
    ordinal     smallint NOT NULL,
    at          timestamptz NOT NULL,
    id          uuid NOT NULL,
    order_id    uuid NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    traceparent text COLLATE "C",
    -- text, not jsonb: it goes to the bus byte by byte as it came, and parsing it here would cost
    -- more than all of the row's index entries.
    payload     text COLLATE "C" NOT NULL,
    PRIMARY KEY (lane, seq)
) WITH (
    -- Rows live for milliseconds: keep them in the page (no compression, no TOAST table) ...
    toast_tuple_target = 8160,
    -- ... and take the dead ones away by number, not by share of a table that is mostly empty.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

-- "Has this order a row?", asked for orders whose deadline has passed: while the bus is away the
-- outbox is long, and each question would walk it.
CREATE INDEX outbox_order ON outbox (order_id);

-- Which relay works on which lane, until when.
CREATE TABLE outbox_leases (
    lane   smallint PRIMARY KEY,
    holder text COLLATE "C",
    until  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

INSERT INTO outbox_leases (lane) SELECT generate_series(0, 7);

-- Who asks for lanes: the living are those whose row has not run out.
CREATE TABLE outbox_holders (
    holder text COLLATE "C" PRIMARY KEY,
    until  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Keeps, takes and gives back lanes so that each living holder has its share; returns what it has.
-- Shares differ by at most one and add up to all lanes: the first in order of name have one more.
CREATE FUNCTION lease_lanes(me text, ttl interval) RETURNS SETOF smallint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    t      timestamptz;
    living integer;
    before integer;
    share  integer;
BEGIN
    -- One at a time: the shares are a function of all holders.
    PERFORM pg_advisory_xact_lock(7352, 0);
    t := clock_timestamp();
    DELETE FROM outbox_holders WHERE until <= t AND holder <> me;
    INSERT INTO outbox_holders VALUES (me, t + ttl)
        ON CONFLICT (holder) DO UPDATE SET until = excluded.until;
    SELECT count(*), count(*) FILTER (WHERE holder < me) INTO living, before FROM outbox_holders;
    share := 8 / living + CASE WHEN before < 8 % living THEN 1 ELSE 0 END;

    UPDATE outbox_leases SET holder = NULL, until = '-infinity'
        WHERE lane IN (SELECT lane FROM outbox_leases WHERE holder = me ORDER BY lane OFFSET share);
    UPDATE outbox_leases SET holder = me, until = t + ttl
        WHERE lane IN (SELECT lane FROM outbox_leases
                       WHERE holder = me OR holder IS NULL OR until <= t
                       ORDER BY holder IS DISTINCT FROM me, lane LIMIT share);
    RETURN QUERY SELECT lane FROM outbox_leases WHERE holder = me ORDER BY lane;
END $$;
