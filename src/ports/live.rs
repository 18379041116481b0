//! Live tracking as the actors see it: the actors publish the current order. Leaves the listeners, and
//! the versions that each one lacks, to the hub.

use std::sync::Arc;

use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::model::position::Position;

/// One listener: a socket, an SSE stream, or (later) a link to another replica. Never blocks.
pub trait LiveListener: Send + Sync + 'static {
    /// The listener's id, unique among listeners.
    fn id(&self) -> u64;

    /// Takes an item. A listener that can't keep up conflates; it never refuses and never blocks.
    fn deliver(&self, item: LiveItem);
}

/// An item that a listener receives.
#[derive(Clone, Debug)]
pub enum LiveItem {
    /// One version of an order: always the listener's last version + 1.
    Update {
        /// The order, at least at `version`; a conflating listener makes a snapshot of it.
        order: Arc<Order>,
        /// The version that this item is about.
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
    /// A new position of the courier.
    Location {
        /// The order.
        order: OrderId,
        /// The position; a conflating listener puts it into its snapshot.
        position: Position,
        /// The encoded `location` frame.
        frame: bytes::Bytes,
    },
}

/// The registry of listeners, by order. Outlives the actors. Every call is quick and never blocks.
pub trait LiveHub: Send + Sync + 'static {
    /// Registers `listener` on `order`. The order's actor calls this, so that no commit falls
    /// in between. Sends the versions after `since` (a snapshot if it is `None` or above the current
    /// version), then everything that follows. A second call starts again from its `since`.
    fn attach(
        &self,
        listener: Arc<dyn LiveListener>,
        since: Option<Version>,
        order: &Arc<Order>,
        position: Option<Position>,
    );

    /// Removes `listener` from `order`.
    fn detach(&self, order: OrderId, listener: u64);

    /// Sends every listener of `order` the versions that it lacks. Called after every commit, and when an
    /// actor starts again. Harmless when repeated.
    fn publish(&self, order: &Arc<Order>, committed: Option<Instant>);

    /// Sends the listeners of `order` the courier's new position.
    fn locate(&self, order: OrderId, position: Position);

    /// Whether `order` has a listener.
    fn is_watched(&self, order: OrderId) -> bool;

    /// Every order that has a listener.
    fn watched(&self) -> Vec<OrderId>;
}

/// Told when this replica gains shards, so that subscriptions follow them. Every call is quick and never
/// blocks.
pub trait ShardChanges: Send + Sync + 'static {
    /// This replica owns `shards` from now on. The actors of their watched orders start after this
    /// returns.
    fn gained(&self, shards: &[ShardId]);
}
