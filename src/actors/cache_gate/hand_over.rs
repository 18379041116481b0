//! What the gate does before a shard is handed over. Everything else of a move is the coordinator's.

use tokio::time::timeout;
use trackops_cluster::ShardId;

use super::core::CacheGate;

impl CacheGate {
    /// The shard is about to be handed over: makes sure that the next owner may believe what it finds
    /// under the generation that is stored. `false` if that can't be had now.
    pub async fn hand_over(&self, shard: ShardId) -> bool {
        self.pending.none_of(shard).await;
        // Nothing may have been asked of the cache for a while: whether it still is the one that was
        // written through to shows only now. While it is away nothing of it is believed either.
        let pinged = timeout(self.settings.write_limit, self.cache.ping()).await;
        if !matches!(pinged, Ok(Ok(()))) {
            self.generations.distrust(shard, None);
            self.repair();
        }
        self.check_session();
        if self.generations.known(shard).is_some() {
            return true;
        }
        // Entries may be missing or old: a higher generation has to be stored first, also while the
        // cache itself is away from this replica.
        let asked: Vec<_> = self
            .generations
            .distrusted()
            .into_iter()
            .filter(|(distrusted, _)| *distrusted == shard)
            .collect();
        let only = [shard];
        let raise = timeout(self.settings.raise_limit, self.raiser.raise(&only));
        match raise.await {
            Ok(Ok(raised)) => {
                self.generations.raised(&asked, &raised);
                raised.iter().any(|(answered, _)| *answered == shard)
            }
            Ok(Err(error)) => {
                tracing::warn!(%shard, %error, "cache generation not raised before a move");
                false
            }
            Err(_) => false,
        }
    }
}
