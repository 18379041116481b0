//! What an order's actor knows, and the steps that all its messages share: loading, appending, adopting a
//! committed state, and forgetting. The other files decide what a message does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use super::entry::Entry;
use super::message::Start;
use crate::actors::context::Context;
use crate::actors::writer::WriteError;
use crate::actors::{errors, weight};
use crate::model::order_answer::Done;
use crate::model::order_request::LocationKey;
use crate::model::orders_error::OrdersError;
use crate::model::position::Position;
use crate::ports::journal::AppendRow;
use crate::telemetry::names;

/// How long an append of unknown outcome may take to be settled before the caller gets an error.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(5);

/// An answer. If it has a new version to push, also the time at which that was durable.
pub(super) type Answer = (Done, Option<Instant>);

/// What the actor knows.
pub struct State {
    pub(super) id: OrderId,
    pub(super) shard: ShardId,
    pub(super) context: Arc<Context>,
    pub(super) entry: Arc<Entry>,
    /// The committed order; `None` if it isn't loaded or doesn't exist.
    pub(super) order: Option<Arc<Order>>,
    loaded: bool,
    /// The listeners may lack changes; the next load tells them.
    restarted: bool,
    /// Keys of the last positions that were taken in, newest last; at most `REMEMBERED_MAX`.
    pub(super) located: SmallVec<[LocationKey; 0]>,
}

impl State {
    pub(super) fn new(
        id: OrderId,
        shard: ShardId,
        context: Arc<Context>,
        entry: Arc<Entry>,
        start: Start,
    ) -> Self {
        Self {
            id,
            shard,
            context,
            entry,
            order: None,
            loaded: start == Start::Fresh,
            restarted: start == Start::Restarted,
            located: SmallVec::new(),
        }
    }

    /// Loads the order through the commit queue, behind any append of a predecessor.
    pub(super) async fn load(&mut self) -> Result<(), OrdersError> {
        if self.loaded {
            return Ok(());
        }
        let context = Arc::clone(&self.context);
        // While a lost append of this shard is being settled, the journal can't tell yet whether it happened.
        let settled = context.ownership.settled(self.shard, SETTLE_MAX).await;
        self.owned()?;
        if !settled {
            return Err(errors::unavailable(
                "a lost write of the order's shard is being settled",
            ));
        }
        let order = context
            .writer
            .load(self.shard, self.id)
            .await
            .map_err(errors::load_failed)?;
        let Some(order) = order else {
            self.loaded = true;
            return Ok(());
        };
        if order.status() == Status::InTransit
            && let Some(position) = context.positions.get(self.id).await
            && position.is_credible(context.clock.now())
        {
            // The entry may hold a newer position than the cache if this actor loads its order again.
            let known = self.entry.position.load().as_deref().copied();
            let newest = Position::newest(Some(position), known);
            self.entry.position.store(newest.map(Arc::new));
        }
        self.adopt(Arc::new(order));
        self.loaded = true;
        if std::mem::take(&mut self.restarted)
            && let Some(order) = &self.order
        {
            context.hub.publish(order, None);
        }
        Ok(())
    }

    /// Forgets the order in memory, because the journal may have another state.
    pub(super) fn unload(&mut self) {
        self.loaded = false;
        self.order = None;
        self.entry.order.store(None);
        self.entry.place.weigh(0);
        // The next load tells the listeners what they lack by then.
        self.restarted = true;
    }

    /// Takes `order` as the committed state.
    pub(super) fn adopt(&mut self, order: Arc<Order>) {
        self.entry.place.weigh(weight::order(&order));
        self.entry.order.store(Some(Arc::clone(&order)));
        self.order = Some(order);
    }

    /// Adopts a new version, which was durable `at`, and answers with it. `from` is the status before.
    pub(super) fn committed(
        &mut self,
        order: Arc<Order>,
        view: Bytes,
        from: Option<Status>,
        at: Instant,
    ) -> Answer {
        let status = order.status();
        metrics::counter!(
            names::ORDER_TRANSITIONS,
            "from" => from.map_or("NONE", Status::as_str),
            "to" => status.as_str()
        )
        .increment(1);
        if from == Some(Status::Pending) {
            let waited = order.updated_at().since(order.created_at());
            metrics::histogram!(names::SAGA_DURATION, "outcome" => status.as_str()).record(waited);
        }
        if status.is_final() && self.entry.position.swap(None).is_some() {
            self.context.positions.forget(self.id);
        }
        self.adopt(Arc::clone(&order));
        (self.done(order, Some(view)), Some(at))
    }

    /// Has `row` stored, which leads to the order `after` with this `view`. Returns when it was durable.
    pub(super) async fn append(
        &self,
        row: AppendRow,
        after: &Arc<Order>,
        view: &Bytes,
    ) -> Result<Instant, WriteError> {
        let writer = &self.context.writer;
        writer
            .append(row, Arc::clone(after), view.clone(), self.entry.tenure)
            .await
    }

    /// Checks that the shard has been this replica's, without a break, since this actor began.
    fn owned(&self) -> Result<(), OrdersError> {
        let ownership = &self.context.ownership;
        if ownership.speaks(self.shard, self.entry.tenure) {
            return Ok(());
        }
        Err(OrdersError::NotOwner)
    }

    pub(super) fn done(&self, order: Arc<Order>, view: Option<Bytes>) -> Done {
        let position = self.position(&order);
        Done {
            order,
            view,
            replayed: false,
            position,
        }
    }

    pub(super) fn position(&self, order: &Order) -> Option<Position> {
        (order.status() == Status::InTransit)
            .then(|| self.entry.position.load().as_deref().copied())
            .flatten()
    }

    /// An answer without a write is given only while the lease holds.
    pub(super) fn under_lease(&self) -> Result<(), OrdersError> {
        self.owned()?;
        if self.context.ownership.lease_holds() {
            return Ok(());
        }
        Err(OrdersError::LeaseOver)
    }
}
