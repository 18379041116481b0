-- The shop of an order, and an index for the lists of a shop's orders.
ALTER TABLE orders ADD COLUMN shop TEXT;
CREATE INDEX orders_by_shop ON orders (shop, status, created_at, id) WHERE shop IS NOT NULL;
