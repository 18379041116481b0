//! What the gate does before a shard is handed over. The coordinator does everything else of a move.

use tokio::time::timeout;
use trackops_cluster::ShardId;

use super::gate::CacheGate;

impl CacheGate {
    /// The shard is about to be handed over. Makes sure that the next owner may believe the entries that it
    /// finds under the stored generation; `false` if that isn't possible now.
    pub async fn hand_over(&self, shard: ShardId) -> bool {
        self.pending.none_of(shard).await;
        // The cache may not have been asked for a while. Only this ping shows whether it still is the one
        // that was written through to. While it is away, none of its entries is believed either.
        let pinged = timeout(self.settings.write_limit, self.cache.ping()).await;
        if !matches!(pinged, Ok(Ok(()))) {
            self.generations.distrust(shard, None);
            self.repair();
        }
        self.check_session();
        if self.generations.known(shard).is_some() {
            return true;
        }
        // Entries may be missing or old, so a higher generation has to be stored first. This works even while
        // this replica can't reach the cache.
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
