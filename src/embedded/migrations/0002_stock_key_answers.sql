-- What was reserved when the key was used: with the quantity that it set, the answer that was given.
-- Keys from before have none.
ALTER TABLE stock_keys ADD COLUMN reserved INTEGER;
