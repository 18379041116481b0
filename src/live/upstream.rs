//! The way to the owners of orders of other replicas. The router implements it.

use std::sync::Arc;

use async_trait::async_trait;
use trackops_cluster::link::Peer;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use crate::model::orders_error::OrdersError;

/// The way to the owner of an order.
#[async_trait]
pub trait Upstream: Send + Sync + 'static {
    /// Asks the owner for the order as it is now. The owner tells of every change from then on under
    /// `number`. The implementation finds the owner and retries within its own deadline.
    async fn watch(&self, order: OrderId, number: u64) -> Result<UpstreamAnswer, OrdersError>;

    /// No client of this replica watches the order any more.
    async fn unwatch(&self, order: OrderId, number: u64, source: &Peer);
}

/// The outcome of a watch.
#[derive(Clone, Debug)]
pub enum UpstreamAnswer {
    /// This replica owns the order.
    Here,
    /// Another replica owns the order.
    There {
        /// The order as it is now.
        order: Arc<Order>,
        /// The owner.
        source: Peer,
        /// Whether the owner tells of changes; otherwise it has to be polled.
        is_pushed: bool,
    },
}
