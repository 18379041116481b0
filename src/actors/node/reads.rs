//! Reads: the live actor's last state, else the cache, else the journal. An answer is given only under the
//! lease. Where this replica may answer without the lease, the answer says how old it may be.

use std::sync::Arc;
use std::time::Duration;

use trackops_cluster::ShardId;
use trackops_domain::access::Caller;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use super::running_node::Node;
use crate::actors::cache_gate::LoadError;
use crate::actors::errors;
use crate::actors::order::visible;
use crate::actors::shard::Entered;
use crate::codec::view;
use crate::model::order_answer::{History, Read};
use crate::model::orders_error::OrdersError;
use crate::ports::journal::Journal;

impl Node {
    /// The view, if the order is there for `caller`.
    pub(super) async fn read_for(
        &self,
        caller: &Caller,
        order: OrderId,
    ) -> Result<Read, OrdersError> {
        self.check_live(caller, order)?;
        let read = self.read_view(order).await?;
        check_view(caller, &read.view)?;
        Ok(read)
    }

    /// An error if there is no such order for `caller`. A request about somebody else's order must not wait in that
    /// order's mailbox, nor be told how the order is.
    pub(super) async fn check_seen(
        &self,
        caller: &Caller,
        order: OrderId,
    ) -> Result<(), OrdersError> {
        if !caller.is_scoped() {
            return Ok(());
        }
        self.read_for(caller, order).await.map(drop)
    }

    /// An error if the live order isn't there for `caller`: without its view, which costs more than the answer.
    fn check_live(&self, caller: &Caller, order: OrderId) -> Result<(), OrdersError> {
        let live = self.shard_of(order).peek(order);
        let state = live.and_then(|live| live.order.load_full());
        state.map_or(Ok(()), |state| visible(&state, caller))
    }

    /// The whole order, if it is there for `caller`.
    pub(super) async fn history_for(
        &self,
        caller: &Caller,
        order: OrderId,
    ) -> Result<History, OrdersError> {
        let found = self.read_order(order).await?;
        visible(&found.order, caller)?;
        Ok(found)
    }

    async fn read_view(&self, order: OrderId) -> Result<Read, OrdersError> {
        let shard = self.shard_of(order);
        let entered = self.enter_to_read(order).await?;
        // A replica that is cut off from the journal can't write, and neither can any other. So the state in
        // memory is the newest, and the answer says how old it may be.
        let age = self.age()?;
        if let Some(live) = shard.peek_in(order, entered.tenure)
            && let Some(state) = live.order.load_full()
        {
            let in_transit = state.status() == Status::InTransit;
            let position = if in_transit {
                live.position.load().as_deref().copied()
            } else {
                None
            };
            return self.still(
                age,
                shard.id,
                &entered,
                Read {
                    version: state.version(),
                    view: view::render(&state),
                    position,
                    age,
                },
            );
        }
        let journal = Arc::clone(&self.journal);
        let load =
            async move { Ok::<_, OrdersError>(load_one(&*journal, order).await?.map(Arc::new)) };
        let entry = self
            .gate
            .get_or_load(shard.id, order, load)
            .await
            .map_err(|error| load_error(&error))?
            .ok_or(OrdersError::NotFound)?;
        let position = if is_in_transit(&entry.view) {
            self.context.positions.get(order).await
        } else {
            None
        };
        self.still(
            age,
            shard.id,
            &entered,
            Read {
                version: entry.version,
                view: entry.view,
                position,
                age,
            },
        )
    }

    pub(super) async fn read_order(&self, order: OrderId) -> Result<History, OrdersError> {
        let shard = self.shard_of(order);
        let entered = self.enter_to_read(order).await?;
        let age = self.age()?;
        let live = shard
            .peek_in(order, entered.tenure)
            .and_then(|entry| entry.order.load_full());
        let found = match live {
            Some(state) => state,
            None => Arc::new(
                load_one(&*self.journal, order)
                    .await?
                    .ok_or(OrdersError::NotFound)?,
            ),
        };
        self.still(age, shard.id, &entered, History { order: found, age })
    }

    /// How old an answer from memory may be: `None` under the lease. An error if this replica may not answer
    /// at all.
    fn age(&self) -> Result<Option<Duration>, OrdersError> {
        if self.context.ownership.lease_holds() {
            return Ok(None);
        }
        let age = self.without_lease.age(&self.context.ownership);
        age.map(Some).ok_or(OrdersError::LeaseOver)
    }

    /// Checks that the shard is still owned and the lease still holds when the answer is ready, not only when
    /// the work began.
    fn still<T>(
        &self,
        age: Option<Duration>,
        shard: ShardId,
        entered: &Entered,
        answer: T,
    ) -> Result<T, OrdersError> {
        if !self.context.ownership.speaks(shard, entered.tenure) {
            return Err(OrdersError::NotOwner);
        }
        if age.is_some() || self.context.ownership.lease_holds() {
            return Ok(answer);
        }
        Err(OrdersError::LeaseOver)
    }
}

/// An error if the order that `shown` shows isn't there for `caller`.
fn check_view(caller: &Caller, shown: &[u8]) -> Result<(), OrdersError> {
    if !caller.is_scoped() {
        return Ok(());
    }
    let whose = view::whose(shown).ok_or(OrdersError::Broken {
        why: "its view doesn't say whose it is",
    })?;
    if whose.is_seen_by(caller) {
        Ok(())
    } else {
        Err(OrdersError::Hidden)
    }
}

async fn load_one(journal: &dyn Journal, order: OrderId) -> Result<Option<Order>, OrdersError> {
    let loaded = journal.load(&[order]).await.map_err(errors::load_failed)?;
    Ok(loaded.into_iter().next().flatten())
}

/// The caller's error for a failed load, which all who waited for it share.
fn load_error(error: &LoadError) -> OrdersError {
    tracing::debug!(error = %error.0, "order not loaded");
    match error.0.downcast_ref() {
        Some(OrdersError::Broken { why }) => OrdersError::Broken { why },
        _ => errors::unavailable("the journal is away"),
    }
}

fn is_in_transit(view: &[u8]) -> bool {
    const MARK: &[u8] = b"\"status\":\"IN_TRANSIT\"";
    view.windows(MARK.len()).any(|window| window == MARK)
}
