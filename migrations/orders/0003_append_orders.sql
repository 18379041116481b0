-- The append. One autocommit call at READ COMMITTED: VOLATILE, so that every statement in it has a
-- snapshot of its own, the epochs are read after the locks are held.
--
-- The caller gives distinct (shard, epoch) pairs, shards ascending; creations, updates, events and
-- messages as parallel arrays. If any pair is fenced nothing is written and `fenced` names the
-- pairs by position, from 1. Otherwise `created` and `updated` are the orders that were accepted,
-- null meaning all of them, and everything that belongs to those is written.
--
-- Events are inserted without ON CONFLICT: an event that exists already beside an accepted order
-- row means that the two disagree, and then the order must not be committed without its event.
CREATE FUNCTION append_orders(
    shards smallint[], epochs bigint[],
    c_id uuid[], c_shard smallint[], c_version integer[], c_status text[], c_customer uuid[],
    c_created timestamptz[], c_updated timestamptz[], c_deadline timestamptz[], c_saga json[],
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
                                deadline_at, saga)
            SELECT * FROM unnest(c_id, c_shard, c_version, c_status, c_customer, c_created,
                                 c_updated, c_deadline, c_saga)
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
