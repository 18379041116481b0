//! The parts that a coordinator is made of, and its port to the host of the entities. Leaves the entities
//! to the host.

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
    /// The shards owned now, held ones included, ascending.
    fn owned(&self) -> Vec<(ShardId, Epoch)>;

    /// Starts to serve these shards, which are ours from now on. `handed_over`: the last owner has
    /// emptied them, and its cache entries can be trusted.
    async fn adopt(&self, claimed: &[Claimed], handed_over: bool);

    /// Holds new commands for `shard` back, and waits until none is in flight and no entity is in memory.
    /// Returns `false` if that takes longer than `limit`; the shard then goes on as before.
    async fn drain(&self, shard: ShardId, limit: Duration) -> bool;

    /// The move didn't happen: goes on under the new epoch, and runs the held commands here.
    async fn resume(&self, claimed: Claimed);

    /// Another replica owns the shard now: forgets everything about it, and sends the held commands to
    /// the new owner.
    async fn release(&self, shard: ShardId);
}

/// What a coordinator works with.
pub struct CoordinatorParts {
    /// This replica.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The authority, for claims and take-overs. This connection may be shared with other callers.
    pub membership: Arc<dyn Membership>,
    /// Who owns what, as the lease keeper learns it.
    pub directory: Arc<Directory>,
    /// The entities.
    pub shards: Arc<dyn Shards>,
    /// The links to the other replicas, for offers.
    pub links: Arc<dyn Links>,
}
