//! The orders while there are none: the listeners open at once and stay, so that probes and a busy port
//! show at once, while the replica still waits for its database or its shards, or comes back as a new
//! incarnation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::actors::ownership::Ownership;
use crate::messaging::dead_letters::DeadLetters;
use crate::ports::cache::Position;
use crate::ports::live::Session;
use crate::ports::orders::{
    ActorReport, CommandRequest, Done, History, LocationKey, Orders, OrdersError, PlaceRequest,
    Read,
};

/// Refuses everything while nobody answers. A release from quarantine also sends the order's parked
/// messages again.
pub(super) struct LateOrders {
    orders: ArcSwapOption<Arc<dyn Orders>>,
    had_some: AtomicBool,
    letters: DeadLetters,
}

/// The present incarnation's shards and lease; none while there is no incarnation that owns any.
#[derive(Default)]
pub(super) struct LateTenure(ArcSwapOption<Ownership>);

impl LateTenure {
    /// An incarnation has begun.
    pub fn set(&self, ownership: Arc<Ownership>) {
        self.0.store(Some(ownership));
    }

    /// It is over.
    pub fn clear(&self) {
        self.0.store(None);
    }

    /// Why nothing can be written, as far as this replica knows.
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.load() {
            None => Some("waiting for the lease or for shards".into()),
            Some(ownership) if ownership.lease_holds() => None,
            Some(ownership) => {
                let ago = ownership.lease_over_for();
                Some(format!(
                    "the lease ended {:.1} s ago and could not be renewed",
                    ago.as_secs_f64()
                ))
            }
        }
    }
}

impl LateOrders {
    /// Nobody answers yet.
    pub fn new(letters: DeadLetters) -> Arc<Self> {
        Arc::new(Self {
            orders: ArcSwapOption::empty(),
            had_some: AtomicBool::new(false),
            letters,
        })
    }

    /// From now on `orders` answers.
    pub fn set(&self, orders: Arc<dyn Orders>) {
        self.had_some.store(true, Ordering::Relaxed);
        self.orders.store(Some(Arc::new(orders)));
    }

    /// Nobody answers any more, for a moment.
    pub fn clear(&self) {
        self.orders.store(None);
    }

    fn get(&self) -> Result<Arc<dyn Orders>, OrdersError> {
        if let Some(orders) = &*self.orders.load() {
            return Ok(Arc::clone(orders));
        }
        let why = if self.had_some.load(Ordering::Relaxed) {
            "this replica is coming back as a new incarnation"
        } else {
            "this replica is starting"
        };
        Err(OrdersError::Unavailable {
            why,
            retry_after: Duration::from_secs(1),
        })
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
