-- A version of every item, what clients have added and taken, and a deadline for releases.

ALTER TABLE stock_items ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- Rises with every change, whoever makes it: also an older version, which knows nothing of it.
CREATE TRIGGER stock_items_version AFTER UPDATE OF on_hand, reserved ON stock_items
WHEN old.on_hand <> new.on_hand OR old.reserved <> new.reserved
BEGIN
    UPDATE stock_items SET version = old.version + 1 WHERE sku = new.sku;
END;

CREATE TABLE stock_adjustments (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    sku      TEXT NOT NULL,
    delta    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    -- The item after it.
    on_hand  INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    version  INTEGER NOT NULL
);
CREATE INDEX stock_adjustments_by_sku ON stock_adjustments (sku, id);

-- The item's version when the key was used; for an adjustment, which one it was. Such a key's `on_hand` is
-- -1: an older version, which knows only keys of quantities, then takes it for one of another quantity.
ALTER TABLE stock_keys ADD COLUMN version INTEGER;
ALTER TABLE stock_keys ADD COLUMN adjustment INTEGER;

-- Orders that an earlier version cancelled, and whose release nobody has confirmed: looked at from now on.
UPDATE orders SET deadline = updated_at
WHERE status = 'CANCELLED' AND deadline IS NULL AND saga ->> 'stock' = 'releasing';
