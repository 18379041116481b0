//! The order actor: one command at a time; the next waits until the last is durable. Decides by the
//! domain, appends by the writer, answers, pushes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;
use trackops_domain::command::Origin;
use trackops_domain::decide::{self, Decision};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::saga::deadline_after;
use trackops_domain::status::Status;

use super::admission::Ticket;
use super::recency::Rank;
use super::shard::{Entry, Shard};
use super::writer::WriteError;
use super::{
    order_append as append, order_location as location, order_place as place,
    order_settle as settle, weight,
};
use crate::codec::view;
use crate::faults;
use crate::model::order_answer::Done;
use crate::model::order_request::{CommandRequest, LocationKey, PlaceRequest};
use crate::model::orders_error::OrdersError;
use crate::model::position::Position;
use crate::ports::journal::AppendRow;
use crate::ports::live::Session;
use crate::telemetry::names;

/// The stateless half; see [`State`].
pub struct OrderActor;

/// What a new actor has to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its id was drawn a moment ago: there is nothing to load.
    Fresh,
    /// Load it when the first message comes.
    Stored,
    /// Load it at once and tell the listeners what they lack: its predecessor failed.
    Restarted,
}

/// Where an answer goes. Dropped unanswered only if the actor fails.
pub type Reply<T> = oneshot::Sender<Result<T, OrdersError>>;

/// What an order's actor is sent.
pub enum OrderMessage {
    /// Create it.
    Place(Box<PlaceRequest>, Reply<Done>, Ticket),
    /// Run a command.
    Execute(Box<CommandRequest>, Reply<Done>, Ticket),
    /// Register a listener.
    Subscribe(Arc<dyn Session>, Option<Version>, Reply<Arc<Order>>, Ticket),
    /// The courier has moved; whether that was known.
    Locate(Position, Option<LocationKey>, Reply<bool>, Ticket),
    /// Load, if that hasn't happened, and tell the listeners what they lack: the first message of a
    /// restarted actor, and of one whose shard has come from another replica.
    Wake(Option<Reply<()>>, Ticket),
}

/// What the actor knows.
pub struct State {
    pub(super) id: OrderId,
    pub(super) shard: Arc<Shard>,
    pub(super) entry: Arc<Entry>,
    /// The committed order; `None` if not loaded or not there.
    pub(super) order: Option<Arc<Order>>,
    pub(super) loaded: bool,
    pub(super) restarted: bool,
    pub(super) located: location::Known,
}

/// How long an append of unknown outcome may take to be settled before the caller is sent away.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(5);

impl Actor for OrderActor {
    type Msg = OrderMessage;
    type State = State;
    type Arguments = (OrderId, Arc<Shard>, Arc<Entry>, Start);

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        (id, shard, entry, start): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let loaded = start == Start::Fresh;
        Ok(State {
            id,
            shard,
            entry,
            order: None,
            loaded,
            restarted: start == Start::Restarted,
            located: location::Known::default(),
        })
    }

    // Boxed: ractor keeps room for this future in every idle actor, twice, and it is 2.8 KB.
    fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: OrderMessage,
        state: &mut State,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        Box::pin(async move {
            state.handle(message).await;
            Ok(())
        })
    }
}

/// An answer, and whether there is a new version to push after it.
pub(super) type Answer = (Done, Option<Instant>);

impl State {
    async fn handle(&mut self, message: OrderMessage) {
        // The ticket goes only after the answer, so that an actor with work never counts as idle.
        match message {
            OrderMessage::Place(request, reply, _ticket) => {
                let result = place::place(self, *request).await;
                self.answer(reply, result);
            }
            OrderMessage::Execute(request, reply, _ticket) => {
                let fault = faults::hit(faults::points::PANIC_IN_HANDLER, &self.id.to_string());
                assert!(!fault, "fault point: panic in handler");
                let result = self.execute(*request).await;
                self.answer(reply, result);
            }
            OrderMessage::Subscribe(session, since, reply, _ticket) => {
                let result = self.subscribe(session, since).await;
                drop(reply.send(result));
            }
            OrderMessage::Locate(position, key, reply, _ticket) => {
                let result = location::locate(self, position, key).await;
                drop(reply.send(result));
            }
            OrderMessage::Wake(reply, _ticket) => {
                let result = self.wake().await;
                if let Err(error) = &result {
                    tracing::warn!(order = %self.id, %error, "order not loaded yet");
                }
                if let Some(reply) = reply {
                    drop(reply.send(result));
                }
            }
        }
        self.touch();
    }

    fn touch(&self) {
        let is_final = |order: &Arc<Order>| order.status().is_final();
        let is_over = self.order.as_ref().is_none_or(is_final);
        let rank = if is_over { Rank::Final } else { Rank::Live };
        self.entry.place.touch(rank);
    }

    async fn execute(&mut self, request: CommandRequest) -> Result<Answer, OrdersError> {
        self.load().await?;
        let order = self.order.clone().ok_or(OrdersError::NotFound)?;
        if let Some(version) = order.answered(request.id) {
            self.under_lease()?;
            settle::same_as_known(&order, &request)?;
            return Ok((
                Done {
                    order: Arc::new(order.as_of(version)),
                    view: None,
                    replayed: true,
                    position: None,
                },
                None,
            ));
        }
        if let Some(wanted) = &request.if_match
            && !wanted.contains(&order.version())
        {
            self.under_lease()?;
            return Err(OrdersError::PreconditionFailed {
                current: order.version(),
            });
        }
        let context = Arc::clone(&self.shard.context);
        let origin = Origin {
            command: request.id,
            by: Arc::clone(&request.by),
            now: context.clock.now(),
        };
        let decision = decide::decide(&order, &request.command, origin, &context.settings.policy);
        let event = match decision {
            Err(rejection) => {
                self.under_lease()?;
                return Err(rejection.into());
            }
            Ok(Decision::Unchanged) if request.keyed => {
                return self.remember(&order, &request).await;
            }
            Ok(Decision::Unchanged) => {
                self.under_lease()?;
                return Ok((self.done(order, None), None));
            }
            Ok(Decision::Bookkeep { saga, resend }) => {
                let after = Arc::new(Order {
                    saga,
                    ..(*order).clone()
                });
                let row = append::bookkeeping_row(
                    self.shard.id,
                    &after,
                    resend,
                    request.traceparent.as_ref(),
                );
                return self.bookkeep(row, after).await;
            }
            Ok(Decision::Event(event)) => event,
        };
        let mut after = evolve((*order).clone(), &event);
        after.saga.deadline = deadline_after(&event, &context.settings.policy);
        let after = Arc::new(after);
        let row = append::event_row(
            self.shard.id,
            &after,
            &event,
            order.version(),
            request.traceparent.as_ref(),
        );
        let view = view::render(&after);
        match self.append(row, &after, &view).await {
            Ok(at) => Ok(self.committed(after, view, Some(order.status()), at)),
            Err(error) => settle::after_failure(self, error, &request)
                .await
                .map(|done| (done, None)),
        }
    }

    /// A keyed command that changed nothing: its id is stored, so that a retry after the order has
    /// moved on is the same success.
    async fn remember(
        &mut self,
        order: &Order,
        request: &CommandRequest,
    ) -> Result<Answer, OrdersError> {
        let mut after = order.clone();
        after.remember(request.id, &request.command);
        let after = Arc::new(after);
        let row = append::bookkeeping_row(self.shard.id, &after, &[], None);
        self.bookkeep(row, after).await
    }

    async fn bookkeep(&mut self, row: AppendRow, after: Arc<Order>) -> Result<Answer, OrdersError> {
        let view = view::render(&after);
        match self.append(row, &after, &view).await {
            Ok(_) => {
                self.adopt(after.clone());
                Ok((self.done(after, Some(view)), None))
            }
            Err(error) => {
                self.unload();
                Err(append::failed(error))
            }
        }
    }

    pub(super) async fn append(
        &self,
        row: AppendRow,
        after: &Arc<Order>,
        view: &Bytes,
    ) -> Result<Instant, WriteError> {
        let writer = &self.shard.context.writer;
        writer
            .append(row, Arc::clone(after), view.clone(), self.entry.tenure)
            .await
    }

    async fn subscribe(
        &mut self,
        session: Arc<dyn Session>,
        since: Option<Version>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.load().await?;
        let order = self.order.clone().ok_or(OrdersError::NotFound)?;
        self.under_lease()?;
        let position = self.position(&order);
        self.shard
            .context
            .hub
            .attach(session, since, &order, position);
        Ok(order)
    }

    async fn wake(&mut self) -> Result<(), OrdersError> {
        self.load().await?;
        self.under_lease()?;
        if let Some(order) = &self.order {
            self.shard.context.hub.publish(order, None);
        }
        Ok(())
    }

    /// Loads the order through the writer's queue, behind any append of a predecessor.
    pub(super) async fn load(&mut self) -> Result<(), OrdersError> {
        if self.loaded {
            return Ok(());
        }
        let context = Arc::clone(&self.shard.context);
        // While a lost append of this shard is being settled, the journal doesn't know yet.
        let settled = context.ownership.settled(self.shard.id, SETTLE_MAX).await;
        self.owned()?;
        if !settled {
            return Err(append::unavailable(
                "a lost write of the order's shard is being settled",
            ));
        }
        let order = context
            .writer
            .load(self.shard.id, self.id)
            .await
            .map_err(append::load_failed)?;
        let Some(order) = order else {
            self.loaded = true;
            return Ok(());
        };
        if order.status() == Status::InTransit
            && let Some(position) = context.positions.get(self.id).await
            && position.is_credible(context.clock.now())
        {
            // An actor that starts again on its feet may have a newer one than the cache.
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

    /// Forgets what is in memory: the journal may know better.
    pub(super) fn unload(&mut self) {
        self.loaded = false;
        self.order = None;
        self.entry.order.store(None);
        self.entry.place.weigh(0);
        // Whatever the listeners lack by then they get with the next load.
        self.restarted = true;
    }

    fn adopt(&mut self, order: Arc<Order>) {
        self.entry.place.weigh(weight::order(&order));
        self.entry.order.store(Some(Arc::clone(&order)));
        self.order = Some(order);
    }

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
            self.shard.context.positions.forget(self.id);
        }
        self.adopt(Arc::clone(&order));
        (self.done(order, Some(view)), Some(at))
    }

    /// Answers, then pushes: the client that asked hears first, and neither before the commit.
    fn answer(&self, reply: Reply<Done>, result: Result<Answer, OrdersError>) {
        let pushed = result.as_ref().ok().and_then(|(_, committed)| *committed);
        drop(reply.send(result.map(|(done, _)| done)));
        if pushed.is_some() {
            faults::crash(faults::points::CRASH_AFTER_REPLY);
            if let Some(order) = &self.order {
                self.shard.context.hub.publish(order, pushed);
            }
        }
    }

    /// The shard is still this replica's, without a break since this actor began.
    fn owned(&self) -> Result<(), OrdersError> {
        if self
            .shard
            .context
            .ownership
            .speaks(self.shard.id, self.entry.tenure)
        {
            return Ok(());
        }
        Err(OrdersError::NotOwner)
    }

    fn done(&self, order: Arc<Order>, view: Option<Bytes>) -> Done {
        let position = self.position(&order);
        Done {
            order,
            view,
            replayed: false,
            position,
        }
    }

    fn position(&self, order: &Order) -> Option<Position> {
        (order.status() == Status::InTransit)
            .then(|| self.entry.position.load().as_deref().copied())
            .flatten()
    }

    /// What is answered without writing is answered only while the lease holds.
    pub(super) fn under_lease(&self) -> Result<(), OrdersError> {
        self.owned()?;
        if self.shard.context.ownership.lease_holds() {
            return Ok(());
        }
        Err(OrdersError::LeaseOver)
    }
}
