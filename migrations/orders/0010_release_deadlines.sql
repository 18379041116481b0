-- Orders that an earlier version cancelled, and whose release nobody has confirmed, are looked at from now
-- on. In ten minutes: earlier versions that still run leave such a deadline as it is, and would look at it
-- again every second.
UPDATE orders SET deadline_at = now() + interval '10 minutes'
WHERE status = 'CANCELLED' AND deadline_at IS NULL AND saga ->> 'stock' = 'releasing';
