-- The baseline's tables: the columns, types and indexes that TrackOps' own
-- migrations have, as plain tables in a database of their own, so that a change
-- there can't move the baseline unseen. Compare with ../../migrations when it does.
CREATE TABLE orders (
    id          uuid NOT NULL,
    customer_id uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deadline_at timestamptz,
    version     integer NOT NULL,
    shard       smallint NOT NULL,
    status      text COLLATE "C" NOT NULL,
    saga        json NOT NULL,
    shop        text COLLATE "C",
    PRIMARY KEY (id)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX orders_by_status ON orders (status, created_at, id);
CREATE INDEX orders_by_customer ON orders (customer_id, created_at, id);
CREATE INDEX orders_by_deadline ON orders (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE order_events (
    order_id   uuid NOT NULL,
    command_id uuid NOT NULL,
    at         timestamptz NOT NULL,
    epoch      bigint NOT NULL,
    version    integer NOT NULL,
    status     text COLLATE "C" NOT NULL,
    by         text COLLATE "C" NOT NULL,
    data       json,
    PRIMARY KEY (order_id, version)
);

CREATE TABLE outbox (
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    lane        smallint NOT NULL,
    version     integer NOT NULL,
    ordinal     smallint NOT NULL,
    at          timestamptz NOT NULL,
    id          uuid NOT NULL,
    order_id    uuid NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    traceparent text COLLATE "C",
    payload     text COLLATE "C" NOT NULL,
    PRIMARY KEY (lane, seq)
) WITH (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX outbox_order ON outbox (order_id);
