//! The way of a request to its order's actor: it waits while the shard is held, is sent, and waits for the
//! answer. The router handles orders of other replicas.

use tokio::sync::oneshot;
use tokio::time::Instant;
use trackops_domain::ids::OrderId;

use super::running_node::Node;
use crate::actors::admission::Permit;
use crate::actors::errors;
use crate::actors::order::{OrderMessage, Reply, Start};
use crate::actors::shard::{Closed, Entered, Shard};
use crate::model::orders_error::OrdersError;
use crate::telemetry::names;

impl Node {
    /// Lets a request in, which weighs `bytes`; waits while the shard is held. `NotOwner` if the shard is
    /// another replica's, also if it becomes so meanwhile.
    pub(super) async fn enter(&self, order: OrderId, bytes: usize) -> Result<Entered, OrdersError> {
        self.enter_by(order, bytes, Shard::enter).await
    }

    /// The same for a read.
    pub(super) async fn enter_to_read(&self, order: OrderId) -> Result<Entered, OrdersError> {
        self.enter_by(order, 0, Shard::enter_to_read).await
    }

    async fn enter_by(
        &self,
        order: OrderId,
        bytes: usize,
        enter: impl Fn(&Shard) -> Result<Entered, Closed>,
    ) -> Result<Entered, OrdersError> {
        let shard = self.shard_of(order);
        match enter(shard) {
            Err(Closed::Held) => {}
            decided => return decided.map_err(Closed::into_error),
        }
        let _place = self.context.admission.admit_held(&shard.held, bytes)?;
        let mut changes = self.context.ownership.changes();
        let decided = async {
            loop {
                // Marked as seen before the check: a change after it ends the wait.
                changes.borrow_and_update();
                match enter(shard) {
                    Err(Closed::Held) if changes.changed().await.is_ok() => {}
                    decided => return decided,
                }
            }
        };
        let began = Instant::now();
        let limit = self.context.settings.answer_timeout;
        let decided = tokio::time::timeout(limit, decided).await;
        metrics::histogram!(names::SHARD_HELD).record(began.elapsed());
        decided
            .unwrap_or(Err(Closed::Held))
            .map_err(Closed::into_error)
    }

    /// Sends a message and waits for its answer.
    pub(super) async fn request<T>(
        &self,
        order: OrderId,
        start: Start,
        bytes: usize,
        message: impl FnOnce(Reply<T>, Permit) -> OrderMessage,
    ) -> Result<T, OrdersError> {
        let entered = self.enter(order, bytes).await?;
        let (reply, answer) = oneshot::channel();
        self.shard_of(order)
            .send(order, start, entered, bytes, |permit| {
                message(reply, permit)
            })?;
        match tokio::time::timeout(self.context.settings.answer_timeout, answer).await {
            Ok(Ok(result)) => result,
            // The actor failed while it handled the message or had it in its mailbox.
            Ok(Err(_)) => Err(OrdersError::Restarted),
            Err(_) => Err(errors::unavailable(
                "no answer in time; the command may still happen",
            )),
        }
    }
}
