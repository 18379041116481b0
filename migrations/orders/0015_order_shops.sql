-- The shop of an order, and the lists of a shop's orders.

ALTER TABLE orders ADD COLUMN shop text COLLATE "C";

-- What the lists of shops read: a row for each order that has a shop. An index on `orders` would do as well,
-- but building one would keep every writer waiting while it reads the whole table.
CREATE TABLE order_shops (
    id         uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    shop       text COLLATE "C" NOT NULL,
    status     text COLLATE "C" NOT NULL
) WITH (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
);
-- A kitchen asks for the few orders that it works on, among all that it has ever delivered.
CREATE INDEX order_shops_by_status ON order_shops (shop, status, created_at, id);

-- Keeps `order_shops` as `orders` is, whoever changes that: also an older version, which knows nothing of shops
-- and may own or prune an order that has one. Orders without a shop cost the look at the triggers' conditions.
CREATE FUNCTION keep_order_shop() RETURNS trigger
LANGUAGE plpgsql VOLATILE
-- Plans are cached for the session's life, and made while the table may be empty.
SET enable_seqscan = off
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO order_shops (id, created_at, shop, status)
            VALUES (NEW.id, NEW.created_at, NEW.shop, NEW.status);
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE order_shops SET status = NEW.status WHERE id = NEW.id;
    ELSE
        DELETE FROM order_shops WHERE id = OLD.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER orders_shop_added AFTER INSERT ON orders FOR EACH ROW
    WHEN (NEW.shop IS NOT NULL) EXECUTE FUNCTION keep_order_shop();
CREATE TRIGGER orders_shop_moved AFTER UPDATE OF status ON orders FOR EACH ROW
    WHEN (NEW.shop IS NOT NULL AND OLD.status <> NEW.status) EXECUTE FUNCTION keep_order_shop();
CREATE TRIGGER orders_shop_removed AFTER DELETE ON orders FOR EACH ROW
    WHEN (OLD.shop IS NOT NULL) EXECUTE FUNCTION keep_order_shop();

-- `append_orders` of 0003, which replicas of the version before call, with the shops of the creations: null
-- for an order without one.
CREATE FUNCTION append_orders(
    shards smallint[], epochs bigint[],
    c_id uuid[], c_shard smallint[], c_version integer[], c_status text[], c_customer uuid[],
    c_created timestamptz[], c_updated timestamptz[], c_deadline timestamptz[], c_saga json[], c_shop text[],
    u_id uuid[], u_expected integer[], u_version integer[], u_status text[],
    u_updated timestamptz[], u_deadline timestamptz[], u_saga json[],
    e_order uuid[], e_version integer[], e_epoch bigint[], e_at timestamptz[], e_by text[], e_command uuid[],
    e_status text[], e_data json[],
    o_order uuid[], o_lane smallint[], o_id uuid[], o_version integer[], o_ordinal smallint[],
    o_topic text[], o_at timestamptz[], o_payload text[], o_traceparent text[],
    OUT fenced integer[], OUT created uuid[], OUT updated uuid[])
LANGUAGE plpgsql VOLATILE
-- The plan is cached for the session's life, and was made while the tables were small.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    accepted uuid[];
    is_whole boolean := true;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7351, s) FROM unnest(shards) s;

    SELECT array_agg(p.n) INTO fenced
        FROM unnest(shards, epochs) WITH ORDINALITY AS p(shard, epoch, n)
        LEFT JOIN shards s ON s.shard = p.shard
        WHERE s.epoch IS NULL OR s.epoch > p.epoch;
    IF fenced IS NOT NULL THEN
        RETURN;
    END IF;

    IF cardinality(c_id) > 0 THEN
        WITH new AS (
            INSERT INTO orders (id, shard, version, status, customer_id, created_at, updated_at,
                                deadline_at, saga, shop)
            SELECT * FROM unnest(c_id, c_shard, c_version, c_status, c_customer, c_created,
                                 c_updated, c_deadline, c_saga, c_shop)
            ON CONFLICT DO NOTHING RETURNING id
        ) SELECT coalesce(array_agg(id), '{}') INTO created FROM new;
        IF cardinality(created) = cardinality(c_id) THEN
            created := NULL;
        ELSE
            is_whole := false;
        END IF;
    END IF;

    IF cardinality(u_id) > 0 THEN
        WITH changed AS (
            UPDATE orders o SET version = u.version, status = u.status, updated_at = u.updated,
                                deadline_at = u.deadline, saga = u.saga
            FROM unnest(u_id, u_expected, u_version, u_status, u_updated, u_deadline, u_saga)
                AS u(id, expected, version, status, updated, deadline, saga)
            WHERE o.id = u.id AND o.version = u.expected RETURNING o.id
        ) SELECT coalesce(array_agg(id), '{}') INTO updated FROM changed;
        IF cardinality(updated) = cardinality(u_id) THEN
            updated := NULL;
        ELSE
            is_whole := false;
        END IF;
    END IF;

    IF is_whole THEN
        INSERT INTO order_events (order_id, version, epoch, at, by, command_id, status, data)
            SELECT * FROM unnest(e_order, e_version, e_epoch, e_at, e_by, e_command, e_status, e_data);
        INSERT INTO outbox (order_id, lane, id, version, ordinal, topic, at, payload, traceparent)
            SELECT * FROM unnest(o_order, o_lane, o_id, o_version, o_ordinal, o_topic, o_at,
                                 o_payload, o_traceparent);
        RETURN;
    END IF;

    accepted := coalesce(created, c_id) || coalesce(updated, u_id);
    INSERT INTO order_events (order_id, version, epoch, at, by, command_id, status, data)
        SELECT e.* FROM unnest(e_order, e_version, e_epoch, e_at, e_by, e_command, e_status, e_data)
            AS e(order_id) WHERE e.order_id = ANY (accepted);
    INSERT INTO outbox (order_id, lane, id, version, ordinal, topic, at, payload, traceparent)
        SELECT o.* FROM unnest(o_order, o_lane, o_id, o_version, o_ordinal, o_topic, o_at,
                               o_payload, o_traceparent)
            AS o(order_id) WHERE o.order_id = ANY (accepted);
END $$;
