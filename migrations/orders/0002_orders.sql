-- Orders, their events, and who owns which shard.

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
    PRIMARY KEY (id)
) WITH (
    -- A change of status moves the row (status is indexed); bookkeeping alone can stay in the
    -- page, and so finds some room.
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
);

-- Every index here is paid for at each placing and again at each change of status, so there is one
-- for lists by status, which by a merge of the seven statuses gives the list of all orders too;
-- one for a customer's; and one for what is awaited, from which an order leaves once nothing is.
CREATE INDEX orders_by_status ON orders (status, created_at, id);
CREATE INDEX orders_by_customer ON orders (customer_id, created_at, id);
CREATE INDEX orders_by_deadline ON orders (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE order_events (
    order_id   uuid NOT NULL,
    command_id uuid NOT NULL,
    at         timestamptz NOT NULL,
    -- Under which it was written: an order's events never go back to an older one.
    epoch      bigint NOT NULL,
    version    integer NOT NULL,
    status     text COLLATE "C" NOT NULL,
    by         text COLLATE "C" NOT NULL,
    -- json, not jsonb: parsing an order of two items into jsonb took 7 µs, a third of the whole
    -- placing, and a third more space. It is checked, and an operator reads it just as well.
    data       json,
    PRIMARY KEY (order_id, version)
);

-- A lease by this database's clock. '-infinity' once it was given up or found to have ended.
CREATE TABLE nodes (
    node        text COLLATE "C" PRIMARY KEY,
    incarnation bigint NOT NULL,
    address     text NOT NULL,
    lease_until timestamptz NOT NULL,
    draining    boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- As many rows as there are shards, made once at the first migration. No foreign key leads here:
-- its row locks would be in the way of claims.
CREATE TABLE shards (
    shard            smallint PRIMARY KEY,
    epoch            bigint NOT NULL DEFAULT 0,
    node             text COLLATE "C",
    incarnation      bigint,
    cache_generation bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
