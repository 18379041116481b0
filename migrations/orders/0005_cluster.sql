-- Many replicas. The functions of 0004 stay as they are: replicas of the version before call them
-- beside these.
--
-- Whatever changes nodes or shards says so on the channel trackops_cluster. These calls are rare, so
-- the lock that NOTIFY holds through their commit is in nobody's way.
--
-- All are VOLATILE at READ COMMITTED, each one autocommit call: every statement in them has a
-- snapshot of its own, so what is read after a lock was waited for is what its last holder left.

-- Nodes and shards in one row of parallel arrays, from one snapshot. Nodes that left or were found
-- dead ('-infinity') are left out. With them the time, which replicas go by instead of their own.
CREATE FUNCTION cluster_view(
    OUT nodes text[], OUT incarnations bigint[], OUT addresses text[], OUT draining boolean[],
    OUT remaining_secs float8[],
    OUT shards smallint[], OUT epochs bigint[], OUT owners text[], OUT owner_incarnations bigint[],
    OUT now_ms bigint)
LANGUAGE sql VOLATILE AS $$
    SELECT n.nodes, n.incarnations, n.addresses, n.draining, n.remaining_secs,
           s.shards, s.epochs, s.owners, s.owner_incarnations,
           (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM (SELECT coalesce(array_agg(node ORDER BY node), '{}') AS nodes,
                 coalesce(array_agg(incarnation ORDER BY node), '{}') AS incarnations,
                 coalesce(array_agg(address ORDER BY node), '{}') AS addresses,
                 coalesce(array_agg(draining ORDER BY node), '{}') AS draining,
                 -- An infinite lease can't be subtracted from; a year is as good.
                 coalesce(array_agg(greatest(0, extract(epoch FROM
                     least(lease_until, clock_timestamp() + interval '1 year')
                     - clock_timestamp()))::float8 ORDER BY node), '{}') AS remaining_secs
          FROM nodes WHERE lease_until > '-infinity') n,
         (SELECT array_agg(shard ORDER BY shard) AS shards,
                 array_agg(epoch ORDER BY shard) AS epochs,
                 array_agg(node ORDER BY shard) AS owners,
                 array_agg(incarnation ORDER BY shard) AS owner_incarnations
          FROM shards) s
$$;

-- The next incarnation, if the lease of the last has ended; else what is left of that.
CREATE FUNCTION join_cluster(me text, my_address text, lease_secs float8,
                             OUT incarnation bigint, OUT remaining_secs float8)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    mine bigint;
BEGIN
    INSERT INTO nodes (node, incarnation, address, lease_until)
        VALUES (me, 1, my_address, clock_timestamp() + make_interval(secs => lease_secs))
        ON CONFLICT (node) DO UPDATE SET
            incarnation = nodes.incarnation + 1, address = excluded.address,
            lease_until = excluded.lease_until, draining = false
        -- Looks at the row as the last holder left it.
        WHERE nodes.lease_until <= clock_timestamp()
        RETURNING nodes.incarnation INTO mine;
    IF FOUND THEN
        join_cluster.incarnation := mine;
        PERFORM pg_notify('trackops_cluster', '');
        RETURN;
    END IF;
    SELECT greatest(0, extract(epoch FROM
               least(n.lease_until, clock_timestamp() + interval '1 year')
               - clock_timestamp()))::float8
        INTO join_cluster.remaining_secs
        FROM nodes n WHERE n.node = me AND n.lease_until > '-infinity';
END $$;

-- Renews a lease that has not ended, and looks. Waits for a claim that is marking this lease as ended.
CREATE FUNCTION renew_lease(me text, mine bigint, lease_secs float8,
    OUT renewed boolean,
    OUT nodes text[], OUT incarnations bigint[], OUT addresses text[], OUT draining boolean[],
    OUT remaining_secs float8[],
    OUT shards smallint[], OUT epochs bigint[], OUT owners text[], OUT owner_incarnations bigint[],
    OUT now_ms bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    UPDATE nodes n SET lease_until = clock_timestamp() + make_interval(secs => lease_secs)
        WHERE n.node = me AND n.incarnation = mine AND n.lease_until > clock_timestamp();
    renewed := FOUND;
    IF NOT renewed THEN
        RETURN;
    END IF;
    SELECT v.nodes, v.incarnations, v.addresses, v.draining, v.remaining_secs,
           v.shards, v.epochs, v.owners, v.owner_incarnations, v.now_ms
        INTO renew_lease.nodes, renew_lease.incarnations, renew_lease.addresses,
             renew_lease.draining, renew_lease.remaining_secs, renew_lease.shards,
             renew_lease.epochs, renew_lease.owners, renew_lease.owner_incarnations,
             renew_lease.now_ms
        FROM cluster_view() v;
END $$;

-- What claims and take-overs begin with: the caller's lease holds, then the locks of the shards. They
-- wait for the appends under way, and keep new ones out until this is committed. Ascending, as
-- appends take them too.
CREATE FUNCTION lock_shards(me text, mine bigint, wanted smallint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    one smallint;
BEGIN
    PERFORM 1 FROM nodes n
        WHERE n.node = me AND n.incarnation = mine AND n.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of node % incarnation % has ended', me, mine
            USING ERRCODE = 'TO001';
    END IF;
    FOR one IN SELECT DISTINCT w FROM unnest(wanted) w ORDER BY w LOOP
        PERFORM pg_advisory_xact_lock(7351, one);
    END LOOP;
END $$;

-- Claims every one of `wanted` whose epoch is still the one `seen` beside it, and that has no owner,
-- whose owner's lease has ended, or that the caller owns already.
CREATE FUNCTION claim_shards_seen(me text, mine bigint, wanted smallint[], seen bigint[])
RETURNS TABLE (shard smallint, epoch bigint, cache_generation bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    owner text;
BEGIN
    PERFORM lock_shards(me, mine, wanted);

    -- Marks the owners whose lease has ended. A renewal under way holds the row: this waits for it
    -- and then finds the lease alive; a renewal that comes later waits for this and finds it gone.
    -- By name, so that two claims after several dead nodes don't wait for each other.
    FOR owner IN SELECT DISTINCT s.node FROM shards s
        WHERE s.shard = ANY (wanted) AND s.node IS NOT NULL ORDER BY s.node
    LOOP
        UPDATE nodes n SET lease_until = '-infinity'
            WHERE n.node = owner
              AND n.lease_until <= clock_timestamp() AND n.lease_until > '-infinity';
    END LOOP;

    RETURN QUERY
        WITH free AS (
            SELECT s.shard FROM unnest(wanted, seen) AS w(shard, epoch)
            JOIN shards s ON s.shard = w.shard AND s.epoch = w.epoch
            LEFT JOIN nodes n ON n.node = s.node AND n.incarnation = s.incarnation
            WHERE n.node IS NULL OR n.lease_until = '-infinity'
               OR (s.node = me AND s.incarnation = mine)
            ORDER BY s.shard FOR UPDATE OF s
        )
        UPDATE shards s SET epoch = s.epoch + 1, cache_generation = s.cache_generation + 1,
                            node = me, incarnation = mine
        FROM free WHERE free.shard = s.shard
        RETURNING s.shard, s.epoch, s.cache_generation;
    IF FOUND THEN
        PERFORM pg_notify('trackops_cluster', '');
    END IF;
END $$;

-- Takes those of `offered` that still are the giver's under the epochs `seen`. The cache generation
-- stays: the giver has written through whatever it has answered.
CREATE FUNCTION take_over_shards(me text, mine bigint, giver text, givers bigint,
                                 offered smallint[], seen bigint[])
RETURNS TABLE (shard smallint, epoch bigint, cache_generation bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM lock_shards(me, mine, offered);
    RETURN QUERY
        WITH given AS (
            SELECT s.shard FROM unnest(offered, seen) AS w(shard, epoch)
            JOIN shards s ON s.shard = w.shard AND s.epoch = w.epoch
            WHERE s.node = giver AND s.incarnation = givers
            ORDER BY s.shard FOR UPDATE OF s
        )
        UPDATE shards s SET epoch = s.epoch + 1, node = me, incarnation = mine
        FROM given WHERE given.shard = s.shard
        RETURNING s.shard, s.epoch, s.cache_generation;
    IF FOUND THEN
        PERFORM pg_notify('trackops_cluster', '');
    END IF;
END $$;

CREATE FUNCTION set_node_draining(one text, wanted boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE nodes SET draining = wanted WHERE node = one AND draining <> wanted;
    IF FOUND THEN
        PERFORM pg_notify('trackops_cluster', '');
    END IF;
END $$;

-- Gives up the lease and every shard. The row stays, so that incarnations go on rising. Rows of shards
-- are locked in order, as claims do.
CREATE FUNCTION give_up_lease(me text, mine bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE nodes SET lease_until = '-infinity' WHERE node = me AND incarnation = mine;
    PERFORM 1 FROM shards WHERE node = me AND incarnation = mine ORDER BY shard FOR UPDATE;
    UPDATE shards SET node = NULL, incarnation = NULL WHERE node = me AND incarnation = mine;
    PERFORM pg_notify('trackops_cluster', '');
END $$;
