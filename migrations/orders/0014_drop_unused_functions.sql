-- Replicas of the version before call claim_shards_seen and give_up_lease of 0005, and so do these.
DROP FUNCTION claim_shards(text, bigint, smallint[]);
DROP FUNCTION leave_cluster(text, bigint);
