//! The orders and the ownership, set once a replica has them. The listeners open at once and stay open, so
//! that probes work and a busy port shows at once. Meanwhile the replica waits for its database or its
//! shards, or comes back as a new incarnation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::actors::ownership::Ownership;
use crate::messaging::dead_letters::DeadLetters;
use crate::model::order_answer::OrderAnswer;
use crate::model::order_request::OrderRequest;
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveListener;
use crate::ports::orders::Orders;

/// Refuses every request while no incarnation answers. A release from quarantine also sends the order's dead
/// letters again.
pub(super) struct LateBoundOrders {
    orders: ArcSwapOption<Arc<dyn Orders>>,
    had_some: AtomicBool,
    letters: DeadLetters,
}

/// The present incarnation's shards and lease; none while no incarnation owns shards.
#[derive(Default)]
pub(super) struct LateBoundOwnership(ArcSwapOption<Ownership>);

impl LateBoundOwnership {
    /// An incarnation has begun.
    pub fn set(&self, ownership: Arc<Ownership>) {
        self.0.store(Some(ownership));
    }

    /// The incarnation is over.
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

impl LateBoundOrders {
    /// No incarnation answers yet.
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

    /// No incarnation answers for a moment.
    pub fn clear(&self) {
        self.orders.store(None);
    }

    /// Sends the order's dead letters again.
    async fn letters_again(&self, order: OrderId, was_quarantined: bool) {
        // Also if the order was free already: the answer to an earlier call may have been lost before this.
        match self.letters.send_order_again(order).await {
            Ok(sent) => tracing::info!(%order, was_quarantined, sent, "released from quarantine"),
            // The dead letters stay where they are, and an operator can send them again.
            Err(error) => {
                tracing::warn!(%order, %error, "released, but its dead letters were not sent again");
            }
        }
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
impl Orders for LateBoundOrders {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        let to_release = match &request {
            OrderRequest::Release(order) => Some(*order),
            _ => None,
        };
        let answer = self.get()?.ask(request).await?;
        if let (Some(order), OrderAnswer::Released { was_quarantined }) = (to_release, &answer) {
            self.letters_again(order, *was_quarantined).await;
        }
        Ok(answer)
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.get()?.subscribe(order, since, listener).await
    }
}
