//! What a coordinator works with, and the host of the entities as it sees it. Leaves what an entity is to
//! the host.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::directory::Directory;
use crate::link::Links;
use crate::membership::{Claimed, Incarnation, Membership, NodeId};
use crate::shard::{Epoch, ShardId};

/// The host of the entities, as the coordinator sees it.
#[async_trait]
pub trait Shards: Send + Sync + 'static {
    /// What is owned now (held ones too), ascending.
    fn owned(&self) -> Vec<(ShardId, Epoch)>;

    /// These are ours from now on. `handed_over`: the last owner has emptied them and its cache
    /// entries are good.
    async fn adopt(&self, claimed: &[Claimed], handed_over: bool);

    /// Holds new commands of `shard` back and waits until nothing is in flight and nothing is in
    /// memory. `false` if that took longer than `limit`: then it goes on as before.
    async fn drain(&self, shard: ShardId, limit: Duration) -> bool;

    /// The move didn't happen: goes on under the new epoch, what was held is worked on here.
    async fn resume(&self, claimed: Claimed);

    /// It is another's now: forgets everything about it; what was held goes to the new owner.
    async fn release(&self, shard: ShardId);
}

/// What a coordinator works with.
pub struct CoordinatorParts {
    /// This replica.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The authority; may be the connection that claims use otherwise.
    pub membership: Arc<dyn Membership>,
    /// Who owns what, as the lease keeper learns it.
    pub directory: Arc<Directory>,
    /// The entities.
    pub shards: Arc<dyn Shards>,
    /// To the other replicas, for offers.
    pub links: Arc<dyn Links>,
}
