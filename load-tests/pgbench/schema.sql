-- The baseline's tables: what a careful team would write for the same three rows
-- an order, with time-ordered ids, the primary keys and the indexes that TrackOps
-- has on its own. They stand in a database of their own, so that a change of our
-- schema can't move the baseline.
CREATE TABLE orders (
    id          uuid        PRIMARY KEY,
    shard       smallint    NOT NULL,
    version     bigint      NOT NULL,
    status      text        NOT NULL,
    customer_id uuid        NOT NULL,
    deadline_at timestamptz,
    body        jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX orders_created ON orders (created_at DESC, id DESC);
CREATE INDEX orders_customer ON orders (customer_id, created_at DESC, id DESC);
CREATE INDEX orders_deadline ON orders (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE order_events (
    order_id   uuid        NOT NULL,
    version    bigint      NOT NULL,
    command_id uuid        NOT NULL,
    kind       text        NOT NULL,
    at         timestamptz NOT NULL,
    actor      text        NOT NULL,
    body       jsonb       NOT NULL,
    PRIMARY KEY (order_id, version)
);

CREATE TABLE outbox (
    sequence bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard    smallint    NOT NULL,
    order_id uuid        NOT NULL,
    version  bigint      NOT NULL,
    ordinal  smallint    NOT NULL,
    event_id uuid        NOT NULL,
    topic    text        NOT NULL,
    at       timestamptz NOT NULL,
    payload  jsonb       NOT NULL
);
