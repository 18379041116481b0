//! The router itself: its parts, and which replica is to handle an order.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::ShardId;
use trackops_cluster::directory::{Directory, Owner};
use trackops_cluster::link::{Links, Peer};
use trackops_cluster::vital::Vital;
use trackops_domain::ids::OrderId;

use crate::actors::Node;
use crate::actors::tenure::LocalShardState;
use crate::live::feed::Feeds;
use crate::live::mirror::Mirror;
use crate::live::mirror_settings::MirrorSettings;
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveHub;

/// Timings of the router.
#[derive(Clone, Copy, Debug)]
pub struct RouterSettings {
    /// How long a caller waits at most, over all attempts.
    pub deadline: Duration,
    /// The pause between two attempts, unless the directory changes earlier; doubled up to `retry_most`.
    pub retry: Duration,
    /// See `retry`.
    pub retry_most: Duration,
    /// The mirrors' settings.
    pub mirror: MirrorSettings,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            // A takeover takes one and a half seconds (`docs/benchmarks.md`); beyond five times that, something
            // else is wrong.
            deadline: Duration::from_secs(8),
            retry: Duration::from_millis(2),
            retry_most: Duration::from_millis(50),
            mirror: MirrorSettings::default(),
        }
    }
}

/// What a router is built from.
pub struct RouterParts {
    /// This replica, as others reach it.
    pub me: Peer,
    /// This replica's actors.
    pub node: Arc<Node>,
    /// Which replica owns which shard.
    pub directory: Arc<Directory>,
    /// The links to other replicas.
    pub links: Arc<dyn Links>,
    /// Whether there are links. Without them nobody else can answer, so no request waits for another owner.
    pub is_linked: bool,
    /// The listeners of this replica; the same hub as the node's.
    pub hub: Arc<dyn LiveHub>,
}

/// See the module. The links serve its [`trackops_cluster::link::Service`].
pub struct Router {
    pub(super) me: Peer,
    pub(super) node: Arc<Node>,
    pub(super) directory: Arc<Directory>,
    pub(super) links: Arc<dyn Links>,
    pub(super) is_linked: bool,
    pub(super) hub: Arc<dyn LiveHub>,
    pub(super) mirror: Arc<Mirror>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) settings: RouterSettings,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// Cancelled when the incarnation has been deposed: nobody waits for an answer of it.
    pub(super) abandoned: CancellationToken,
    pub(super) vital: Vital,
}

/// Which replica is to handle an order now.
pub(super) enum Target {
    Here,
    /// This replica or none, as far as it knows. But its lease has run out, so another replica may own the
    /// order by now.
    Perhaps,
    There(Owner),
    /// No known replica.
    Nobody,
}

impl Router {
    /// The tasks that the router can't do without.
    pub fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Ends the router's tasks. Requests in flight end by themselves.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// As [`Self::stop`]. In addition, callers that wait for an owner are told to come again, because the
    /// next incarnation knows more.
    pub fn abandon(&self) {
        self.stop();
        self.abandoned.cancel();
    }

    /// Orders of other replicas that clients here watch; for tests and gauges.
    pub fn mirrored(&self) -> usize {
        self.mirror.mirrored()
    }

    /// Orders of this replica that clients of others watch; for tests and gauges.
    pub fn watched_by_others(&self) -> usize {
        self.feeds.watched()
    }

    pub(super) fn shard_of(&self, order: OrderId) -> ShardId {
        self.node.ownership().shard_of(order)
    }

    pub(super) fn target(&self, shard: ShardId) -> Target {
        let (state, _) = self.node.ownership().state(shard);
        let other = self
            .directory
            .owner(shard)
            .filter(|owner| !self.is_me(owner));
        match (state, other) {
            (LocalShardState::Free(_), Some(owner)) => Target::There(owner),
            // The others have newer information: this replica has been deposed and hasn't noticed.
            (mine, Some(owner)) if owner.epoch > mine.epoch() => Target::There(owner),
            _ if !self.node.answers() => Target::Perhaps,
            (LocalShardState::Free(_), None) => Target::Nobody,
            _ => Target::Here,
        }
    }

    pub(super) fn is_me(&self, owner: &Owner) -> bool {
        owner.node == self.me.node && owner.incarnation == self.me.incarnation
    }
}

/// The answer to a request whose incarnation was deposed.
pub(super) const ABANDONED: OrdersError = OrdersError::Unavailable {
    why: "this replica is coming back as a new incarnation",
    retry_after: Duration::from_secs(1),
};

/// The answer to a request that took too long.
pub(super) const LATE: OrdersError = OrdersError::Unavailable {
    why: "no answer in time; the command may still happen",
    retry_after: Duration::from_secs(1),
};
