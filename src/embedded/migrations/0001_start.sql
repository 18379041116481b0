-- Times are milliseconds since the epoch, ids the 16 bytes of their UUID.

-- Membership: kept although there is only one node, because epochs fence appends. A life ends with
-- the next one, with leaving, or with the process.
CREATE TABLE nodes (
    node        TEXT PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    address     TEXT NOT NULL,
    alive       INTEGER NOT NULL
);

CREATE TABLE shards (
    shard            INTEGER PRIMARY KEY,
    epoch            INTEGER NOT NULL DEFAULT 0,
    cache_generation INTEGER NOT NULL DEFAULT 0,
    node             TEXT,
    incarnation      INTEGER
);

-- Orders: the row that lists and deadlines look at, and what has happened.
CREATE TABLE orders (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    shard      INTEGER NOT NULL,
    version    INTEGER NOT NULL CHECK (version > 0),
    status     TEXT NOT NULL,
    customer   BLOB NOT NULL CHECK (length(customer) = 16),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deadline   INTEGER,
    saga       TEXT NOT NULL CHECK (json_valid(saga))
);
CREATE INDEX orders_by_age ON orders (created_at, id);
CREATE INDEX orders_by_status ON orders (status, created_at, id);
CREATE INDEX orders_by_customer ON orders (customer, created_at, id);
CREATE INDEX orders_by_deadline ON orders (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE order_events (
    order_id BLOB NOT NULL,
    version  INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL,
    command  BLOB NOT NULL CHECK (length(command) = 16),
    status   TEXT NOT NULL,
    data     TEXT CHECK (data IS NULL OR json_valid(data)),
    PRIMARY KEY (order_id, version)
);

-- Both outboxes; `owner` is 0 for the orders' and 1 for the inventory's.
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner       INTEGER NOT NULL,
    lane        INTEGER NOT NULL,
    order_id    BLOB NOT NULL CHECK (length(order_id) = 16),
    message_id  BLOB NOT NULL CHECK (length(message_id) = 16),
    topic       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    payload     TEXT NOT NULL CHECK (json_valid(payload)),
    traceparent TEXT,
    inserted_at INTEGER NOT NULL
);
CREATE INDEX outbox_by_lane ON outbox (owner, lane, seq, inserted_at);
CREATE INDEX outbox_by_order ON outbox (order_id);

CREATE TABLE outbox_holders (
    owner  INTEGER NOT NULL,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (owner, holder)
) WITHOUT ROWID;

CREATE TABLE outbox_lanes (
    owner  INTEGER NOT NULL,
    lane   INTEGER NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (owner, lane)
) WITHOUT ROWID;

-- Inventory.
CREATE TABLE stock_items (
    sku      TEXT PRIMARY KEY,
    on_hand  INTEGER NOT NULL CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL CHECK (reserved BETWEEN 0 AND on_hand)
) WITHOUT ROWID;

-- `replied_at` and `released_at` date the two replies that an order may be given; with `failed`
-- they make the same reply again, under the same id.
CREATE TABLE reservations (
    order_id    BLOB PRIMARY KEY CHECK (length(order_id) = 16),
    state       TEXT NOT NULL,
    items       TEXT NOT NULL,
    failed      TEXT,
    replied_at  INTEGER,
    released_at INTEGER,
    updated_at  INTEGER NOT NULL
);

CREATE TABLE stock_keys (
    key     TEXT PRIMARY KEY,
    sku     TEXT NOT NULL,
    on_hand INTEGER NOT NULL,
    at      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX stock_keys_by_age ON stock_keys (at);

-- The bus. A message's id is its partition's id and its offset in one integer, so that a partition
-- is one range of the table.
CREATE TABLE bus_partitions (
    id           INTEGER PRIMARY KEY,
    topic        TEXT NOT NULL,
    partition    INTEGER NOT NULL,
    first_offset INTEGER NOT NULL DEFAULT 0,
    next_offset  INTEGER NOT NULL DEFAULT 0,
    bytes        INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
);

CREATE TABLE bus_messages (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    key     BLOB,
    headers BLOB NOT NULL,
    payload BLOB
);
CREATE INDEX bus_messages_by_age ON bus_messages (at);

CREATE TABLE bus_offsets (
    consumers    TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    next_offset  INTEGER NOT NULL,
    PRIMARY KEY (consumers, partition_id)
) WITHOUT ROWID;
