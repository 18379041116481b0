//! The orders before there are any: the listeners open at once, so that probes and a busy port show
//! at once, while the replica still waits for its database or its shards.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::messaging::dead_letters::DeadLetters;
use crate::ports::cache::Position;
use crate::ports::live::Session;
use crate::ports::orders::{
    ActorReport, CommandRequest, Done, History, LocationKey, Orders, OrdersError, PlaceRequest,
    Read,
};

/// Refuses everything until it is told who answers. A release from quarantine also sends the order's
/// parked messages again.
pub(super) struct LateOrders {
    orders: OnceLock<Arc<dyn Orders>>,
    letters: DeadLetters,
}

impl LateOrders {
    /// Nobody answers yet.
    pub fn new(letters: DeadLetters) -> Arc<Self> {
        Arc::new(Self {
            orders: OnceLock::new(),
            letters,
        })
    }

    /// From now on `orders` answers. Once.
    pub fn set(&self, orders: Arc<dyn Orders>) {
        let _ = self.orders.set(orders);
    }

    fn get(&self) -> Result<&dyn Orders, OrdersError> {
        const STARTING: OrdersError = OrdersError::Unavailable {
            why: "this replica is starting",
            retry_after: Duration::from_secs(1),
        };
        self.orders.get().map(|orders| &**orders).ok_or(STARTING)
    }
}

#[async_trait]
impl Orders for LateOrders {
    async fn place(&self, request: PlaceRequest) -> Result<Done, OrdersError> {
        self.get()?.place(request).await
    }

    async fn execute(&self, request: CommandRequest) -> Result<Done, OrdersError> {
        self.get()?.execute(request).await
    }

    async fn read(&self, order: OrderId) -> Result<Read, OrdersError> {
        self.get()?.read(order).await
    }

    async fn history(&self, order: OrderId) -> Result<History, OrdersError> {
        self.get()?.history(order).await
    }

    async fn locate(
        &self,
        order: OrderId,
        position: Position,
        key: Option<LocationKey>,
    ) -> Result<bool, OrdersError> {
        self.get()?.locate(order, position, key).await
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        session: Arc<dyn Session>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.get()?.subscribe(order, since, session).await
    }

    async fn inspect(&self, order: OrderId) -> Result<ActorReport, OrdersError> {
        self.get()?.inspect(order).await
    }

    async fn release(&self, order: OrderId) -> Result<bool, OrdersError> {
        let released = self.get()?.release(order).await?;
        // Also if it was free already: the answer to an earlier call may have been lost before this.
        match self.letters.send_order_again(order).await {
            Ok(sent) => tracing::info!(%order, released, sent, "released from quarantine"),
            // They stay where they are, and can be sent again by hand.
            Err(error) => {
                tracing::warn!(%order, %error, "released, but its dead letters were not sent again");
            }
        }
        Ok(released)
    }
}
