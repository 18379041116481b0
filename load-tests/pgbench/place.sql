-- One order: three inserts in one transaction. :n counts up from the start time
-- within a client and :r is random, so ids are unique and roughly in time order,
-- as UUIDv7 are. :body comes as a parameter (-D), so PostgreSQL parses the JSON
-- each time, as it must for a real client.
\set n :n + 1
\set r random(1, 9223372036854775807)
\set c random(1, 9223372036854775807)
\set shard random(0, 127)
BEGIN;
INSERT INTO orders (id, shard, version, status, customer_id, deadline_at, body, created_at, updated_at) VALUES ((lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, :shard, 1, 'PENDING', (lpad(to_hex(:c::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, now() + interval '60 seconds', :body, now(), now());
INSERT INTO order_events (order_id, version, command_id, kind, at, actor, body) VALUES ((lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, 1, (lpad(to_hex(:r::bigint), 16, '0') || lpad(to_hex(:n::bigint), 16, '0'))::uuid, 'PLACED', now(), 'rest', :body);
INSERT INTO outbox (shard, order_id, version, ordinal, event_id, topic, at, payload) VALUES (:shard, (lpad(to_hex(:n::bigint), 16, '0') || lpad(to_hex(:r::bigint), 16, '0'))::uuid, 1, 0, (lpad(to_hex(:c::bigint), 16, '0') || lpad(to_hex(:n::bigint), 16, '0'))::uuid, 'ORDER_CREATED', now(), :body);
END;
