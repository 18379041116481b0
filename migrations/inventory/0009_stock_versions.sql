-- A version of every item, what clients have added and taken, and one call for the locks of a batch.

-- Rises with every change, whoever makes it: also an older version, which knows nothing of it.
ALTER TABLE items ADD COLUMN version bigint NOT NULL DEFAULT 1;

CREATE FUNCTION raise_item_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;

CREATE TRIGGER items_version BEFORE UPDATE ON items FOR EACH ROW
    WHEN (OLD.on_hand <> NEW.on_hand OR OLD.reserved <> NEW.reserved)
    EXECUTE FUNCTION raise_item_version();

CREATE TABLE stock_adjustments (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku      text COLLATE "C" NOT NULL,
    delta    bigint NOT NULL,
    reason   text NOT NULL,
    at       timestamptz NOT NULL,
    -- The item after it.
    on_hand  bigint NOT NULL,
    reserved bigint NOT NULL,
    version  bigint NOT NULL
);
CREATE INDEX stock_adjustments_by_sku ON stock_adjustments (sku, id);

-- The item's version when the key was used; for an adjustment, which one it was. Such a key's `on_hand` is
-- -1: an older version, which knows only keys of quantities, then takes it for one of another quantity.
ALTER TABLE stock_keys ADD COLUMN version bigint;
ALTER TABLE stock_keys ADD COLUMN adjustment bigint;

-- Locks and reads what a batch touches: the reservations of `orders`, in order, then `skus` and what those
-- reservations hold, in order. A row is the one or the other: `order_id` or `sku` is null. JSON comes as
-- text, so that one row which can't be read is only that.
CREATE FUNCTION lock_stock(orders uuid[], skus text[])
RETURNS TABLE (order_id uuid, state text, items text, failed_items text, replied_at timestamptz,
               released_at timestamptz, updated_at timestamptz,
               sku text, on_hand bigint, reserved bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    wanted text[];
BEGIN
    RETURN QUERY
        SELECT r.order_id, r.state, r.items::text, r.failed_items::text, r.replied_at, r.released_at,
               r.updated_at, NULL::text, NULL::bigint, NULL::bigint
        FROM reservations r WHERE r.order_id = ANY (orders) ORDER BY r.order_id FOR UPDATE;
    IF FOUND THEN
        SELECT coalesce(array_agg(DISTINCT held.pair ->> 0), '{}') INTO wanted
            FROM reservations r
            CROSS JOIN LATERAL json_array_elements(
                CASE WHEN json_typeof(r.items) = 'array' THEN r.items ELSE '[]' END) AS held(pair)
            WHERE r.order_id = ANY (orders) AND r.state = 'RESERVED'
                AND json_typeof(held.pair) = 'array';
    END IF;
    RETURN QUERY
        SELECT NULL::uuid, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::timestamptz,
               NULL::timestamptz, i.sku, i.on_hand, i.reserved
        FROM items i WHERE i.sku = ANY (skus || wanted) ORDER BY i.sku FOR UPDATE;
END $$;
