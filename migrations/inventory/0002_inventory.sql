-- Stock levels, reservations, and the keys of idempotent writes.

CREATE TABLE items (
    sku      text COLLATE "C" PRIMARY KEY,
    on_hand  bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    -- The last line of defence against overselling: the ledger has decided the same before.
    CHECK (reserved <= on_hand)
) WITH (
    -- Every reservation of a popular item changes its row: leave room for it to stay in its page.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

CREATE TABLE reservations (
    order_id     uuid PRIMARY KEY,
    state        text COLLATE "C" NOT NULL,
    -- [[sku, quantity], ...] in order of SKU: what is or was held, or was asked for.
    items        json NOT NULL,
    -- The SKUs that were short, when the first answer was a refusal.
    failed_items json,
    -- When the first answer was given, and when a release was: a repeat is answered as of then.
    replied_at   timestamptz,
    released_at  timestamptz,
    updated_at   timestamptz NOT NULL
) WITH (fillfactor = 85);

-- What a client's idempotency key stood for.
CREATE TABLE stock_keys (
    key     text COLLATE "C" PRIMARY KEY,
    sku     text COLLATE "C" NOT NULL,
    on_hand bigint NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX stock_keys_at ON stock_keys (at);
