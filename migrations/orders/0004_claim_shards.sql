-- Claims every one of `wanted` that has no owner, whose owner's lease has ended, or that the caller
-- owns already. Null instead of a set of rows can't be told apart from none, so a caller whose own
-- lease has ended gets an exception with SQLSTATE TO001.
--
-- VOLATILE at READ COMMITTED: what is read after a lock was waited for is what its last holder left.
CREATE FUNCTION claim_shards(me text, mine bigint, wanted smallint[])
RETURNS TABLE (shard smallint, epoch bigint, cache_generation bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    one smallint;
BEGIN
    PERFORM 1 FROM nodes n
        WHERE n.node = me AND n.incarnation = mine AND n.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of node % incarnation % has ended', me, mine
            USING ERRCODE = 'TO001';
    END IF;

    -- Waits for the appends under way, and keeps new ones out until this is committed. Ascending,
    -- as appends take them too.
    FOR one IN SELECT DISTINCT w FROM unnest(wanted) w ORDER BY w LOOP
        PERFORM pg_advisory_xact_lock(7351, one);
    END LOOP;

    -- Marks the owners whose lease has ended. A renewal under way holds the row: this waits for it
    -- and then finds the lease alive; a renewal that comes later waits for this and finds it gone.
    UPDATE nodes n SET lease_until = '-infinity'
        WHERE n.lease_until <= clock_timestamp() AND n.lease_until > '-infinity'
          AND n.node IN (SELECT s.node FROM shards s WHERE s.shard = ANY (wanted));

    RETURN QUERY
        WITH free AS (
            SELECT s.shard FROM shards s LEFT JOIN nodes n
                ON n.node = s.node AND n.incarnation = s.incarnation
            WHERE s.shard = ANY (wanted)
              AND (n.node IS NULL OR n.lease_until = '-infinity'
                   OR (s.node = me AND s.incarnation = mine))
            ORDER BY s.shard FOR UPDATE OF s
        )
        UPDATE shards s SET epoch = s.epoch + 1, cache_generation = s.cache_generation + 1,
                            node = me, incarnation = mine
        FROM free WHERE free.shard = s.shard
        RETURNING s.shard, s.epoch, s.cache_generation;
END $$;

-- Gives up the lease and every shard. The row stays, so that incarnations go on rising.
CREATE FUNCTION leave_cluster(me text, mine bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE nodes SET lease_until = '-infinity' WHERE node = me AND incarnation = mine;
    UPDATE shards SET node = NULL, incarnation = NULL WHERE node = me AND incarnation = mine;
END $$;
