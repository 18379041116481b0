//! Live tracking as the actors see it: they say what an order is now; who hears it, and what each
//! listener lacks, is the hub's business.

use std::sync::Arc;

use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::model::position::Position;

/// One listener: a socket, an SSE stream, or (later) a link to another replica. Never blocks.
pub trait LiveListener: Send + Sync + 'static {
    /// Distinguishes listeners.
    fn id(&self) -> u64;

    /// Takes an item. A listener that can't keep up conflates; it never refuses and never blocks.
    fn deliver(&self, item: LiveItem);
}

/// What a listener is told.
#[derive(Clone, Debug)]
pub enum LiveItem {
    /// One version of an order; always the listener's last one + 1.
    Update {
        /// The order, at least at `version`; a conflating listener makes a snapshot of it.
        order: Arc<Order>,
        /// Which version this tells of.
        version: Version,
        /// The encoded `update` frame, shared by all listeners.
        frame: bytes::Bytes,
        /// When it was committed, for the push histogram; `None` for history.
        committed: Option<Instant>,
    },
    /// The order as it is now.
    Snapshot {
        /// The order.
        order: Arc<Order>,
        /// Its courier, if one is under way.
        position: Option<Position>,
    },
    /// The courier has moved.
    Location {
        /// Whose.
        order: OrderId,
        /// Where to; a conflating listener puts it into its snapshot.
        position: Position,
        /// The encoded `location` frame.
        frame: bytes::Bytes,
    },
}

/// The registry of listeners, by order. Outlives the actors. Every call is quick and never blocks.
pub trait LiveHub: Send + Sync + 'static {
    /// Registers `session` on `order`, called from the order's actor, so that no commit falls
    /// between: sends what it lacks since `since` (a snapshot if `None`, or if `since` is above the
    /// current version), then everything that follows. A second call starts again from its `since`.
    fn attach(
        &self,
        session: Arc<dyn LiveListener>,
        since: Option<Version>,
        order: &Arc<Order>,
        position: Option<Position>,
    );

    /// Takes `session` off `order`.
    fn detach(&self, order: OrderId, session: u64);

    /// `order` is now at its version: every listener gets the versions that it lacks. Called after
    /// every commit, and when an actor starts again. Harmless when repeated.
    fn publish(&self, order: &Arc<Order>, committed: Option<Instant>);

    /// The courier of `order` is at `position`.
    fn locate(&self, order: OrderId, position: Position);

    /// Whether anyone listens to `order`.
    fn is_watched(&self, order: OrderId) -> bool;

    /// Every order that someone listens to.
    fn watched(&self) -> Vec<OrderId>;
}

/// Told when shards come to this replica, so that subscriptions follow them. Quick, and never blocks.
pub trait ShardChanges: Send + Sync + 'static {
    /// These are this replica's from now on; their watched orders wake after this returns.
    fn gained(&self, shards: &[ShardId]);
}
