//! The order actor: one command at a time; the next waits until the last is durable. Decides by the
//! domain, appends by the writer, answers, pushes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;
use trackops_domain::command::Origin;
use trackops_domain::decide::{self, Decision};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::saga::Saga;
use trackops_domain::status::Status;

use super::admission::Ticket;
use super::shard::{Entry, Shard};
use super::writer::WriteError;
use super::{order_append as append, order_location as location, order_settle as settle};
use crate::faults;
use crate::ports::cache::Position;
use crate::ports::journal::AppendRow;
use crate::ports::live::Session;
use crate::ports::orders::{CommandRequest, Done, LocationKey, OrdersError, PlaceRequest};
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
type Answer = (Done, Option<Instant>);

impl State {
    async fn handle(&mut self, message: OrderMessage) {
        // The ticket goes only after the answer, so that an actor with work never counts as idle.
        match message {
            OrderMessage::Place(request, reply, _ticket) => {
                let result = self.place(*request).await;
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
    }

    async fn place(&mut self, request: PlaceRequest) -> Result<Answer, OrdersError> {
        self.load().await?;
        if let Some(order) = &self.order {
            return self.placed_before(order, &request).map(|done| (done, None));
        }
        let context = Arc::clone(&self.shard.context);
        let now = context.clock.now();
        let command = trackops_domain::ids::CommandId(self.id.0);
        let origin = Origin {
            command,
            by: "client".into(),
            now,
        };
        let body_hash = request.key.as_ref().map(|(_, hash)| *hash);
        let event = decide::place(self.id, Arc::clone(&request.content), body_hash, origin);
        let saga = Saga::started(now, &context.settings.policy);
        // `place` made a placement: there is no other outcome.
        let Some(order) = Order::from_placed(&event, saga) else {
            return Err(OrdersError::NotFound);
        };
        let order = Arc::new(order);
        let row = append::event_row(
            self.shard.id,
            &order,
            &event,
            None,
            request.traceparent.as_ref(),
        );
        match self.append(row, &order).await {
            Ok(at) => Ok(self.committed(order, None, at)),
            Err(WriteError::Conflict) => {
                // Placed under this id before, here or elsewhere: the loser of a race gets the same.
                self.unload();
                self.load().await?;
                let order = self.order.as_ref().ok_or(OrdersError::Restarted)?;
                self.placed_before(order, &request).map(|done| (done, None))
            }
            Err(WriteError::Unknown) => {
                settle::settle(self).await?;
                match &self.order {
                    Some(order) => self.placed_before(order, &request).map(|done| {
                        (
                            Done {
                                replayed: false,
                                ..done
                            },
                            None,
                        )
                    }),
                    None => Err(append::unavailable("the order was not stored")),
                }
            }
            Err(error) => Err(append::failed(error)),
        }
    }

    fn placed_before(
        &self,
        order: &Arc<Order>,
        request: &PlaceRequest,
    ) -> Result<Done, OrdersError> {
        self.under_lease()?;
        let same = match (&request.key, order.body_hash) {
            (Some((_, hash)), Some(stored)) => *hash == stored,
            // An id that was drawn is never drawn twice: this is the same request, settled.
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Err(OrdersError::KeyReused);
        }
        Ok(Done {
            order: Arc::new(order.as_of(Version::FIRST)),
            replayed: true,
            position: None,
        })
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
                return Ok((self.done(order), None));
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
        let after = Arc::new(evolve((*order).clone(), &event));
        let row = append::event_row(
            self.shard.id,
            &after,
            &event,
            Some(order.version()),
            request.traceparent.as_ref(),
        );
        match self.append(row, &after).await {
            Ok(at) => Ok(self.committed(after, Some(order.status()), at)),
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
        match self.append(row, &after).await {
            Ok(_) => {
                self.adopt(after.clone());
                Ok((self.done(after), None))
            }
            Err(error) => {
                self.unload();
                Err(append::failed(error))
            }
        }
    }

    async fn append(&self, row: AppendRow, after: &Arc<Order>) -> Result<Instant, WriteError> {
        let writer = &self.shard.context.writer;
        writer
            .append(row, Arc::clone(after), self.entry.tenure)
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
        // Whatever the listeners lack by then they get with the next load.
        self.restarted = true;
    }

    fn adopt(&mut self, order: Arc<Order>) {
        self.entry.order.store(Some(Arc::clone(&order)));
        self.order = Some(order);
    }

    fn committed(&mut self, order: Arc<Order>, from: Option<Status>, at: Instant) -> Answer {
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
        (self.done(order), Some(at))
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
        self.entry
            .used
            .store(self.shard.context.tick(), Ordering::Relaxed);
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

    pub(super) fn done(&self, order: Arc<Order>) -> Done {
        let position = self.position(&order);
        Done {
            order,
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
