-- One order: three inserts in one transaction. :n counts up from the start time
-- within a client and :r is random, so ids are unique and roughly in time order,
-- as UUIDv7 are. The JSON comes as parameters (-D), so PostgreSQL parses it each
-- time, as it must for a real client.
\set n :n + 1
\set r random(1, 9223372036854775807)
\set c random(1, 9223372036854775807)
\set shard random(0, 127)
\set lane random(0, 7)
BEGIN;
INSERT INTO orders (id, customer_id, created_at, updated_at, deadline_at, version, shard, status, saga) VALUES ((lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, (lpad(to_hex(:c::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, now(), now(), now() + interval '60 seconds', 1, :shard, 'PENDING', :saga);
INSERT INTO order_events (order_id, command_id, at, epoch, version, status, by, data) VALUES ((lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, (lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:c::bigint), 16, '0'))::uuid, now(), 1, 1, 'PENDING', 'customer', :data);
INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload) VALUES (:lane, 1, 0, now(), (lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:c::bigint), 16, '0'))::uuid, (lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, 'ORDER_CREATED', :payload);
END;
