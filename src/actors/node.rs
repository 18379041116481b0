//! One replica: starts writer, supervisors, scanner and sweeper; routes commands to the order's
//! actor; implements the `Orders` port.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorRef};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::ShardId;
use trackops_cluster::keeper::Standing;
use trackops_cluster::vital::Vital;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::admission::Admission;
use super::announcer::Announcer;
use super::cache_gate::CacheGate;
use super::order::{OrderMessage, Reply, Start};
use super::order_append as append;
use super::ownership::Ownership;
use super::positions::Positions;
use super::recency::Recency;
use super::saga_route::SagaRoute;
use super::settings::Settings;
use super::shard::{Closed, Context, Entered, Shard};
use super::supervisor::NodeSupervisor;
use super::writer::{Shared, Writer};
use super::{scanner, sweeper, weight};
use crate::ports::cache::{Cache, Position};
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::live::{LiveHub, Session, ShardChanges};
use crate::ports::orders::{
    ActorReport, CommandRequest, Done, History, LocationKey, Orders, OrdersError, PlaceRequest,
    Read, keyed_order_id,
};
use crate::ports::sagas::Sagas;
use crate::telemetry::names;

/// Ids drawn until one falls on an owned shard; with any owned share worth serving from, a few do.
const DRAWS_MAX: u32 = 4_096;

/// What a node is built from.
pub struct Parts {
    /// Where orders are stored.
    pub journal: Arc<dyn Journal>,
    /// Where views are cached.
    pub cache: Arc<dyn Cache>,
    /// The guard before the cache.
    pub gate: Arc<CacheGate>,
    /// Listeners.
    pub hub: Arc<dyn LiveHub>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Shards and lease, claimed.
    pub ownership: Arc<Ownership>,
    /// What the lease keeper knows; `None` where the node is alone by construction.
    pub standing: Option<watch::Receiver<Standing>>,
    /// Whom requests for stock pass; `None` where nobody can be asked: then nobody is known to be behind.
    pub saga_route: Option<SagaRoute>,
    /// The waiting orders, to count those that are stuck; `None` where nobody wants to know.
    pub sagas: Option<Arc<dyn Sagas>>,
}

/// A running replica.
pub struct Node {
    /// For tasks of its own.
    pub(super) itself: Weak<Self>,
    context: Arc<Context>,
    journal: Arc<dyn Journal>,
    gate: Arc<CacheGate>,
    shards: Arc<[Arc<Shard>]>,
    standing: Option<watch::Receiver<Standing>>,
    supervisor: ActorRef<()>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    vital: Vital,
    /// Told when shards come.
    pub(super) followers: OnceLock<Weak<dyn ShardChanges>>,
}

impl Node {
    /// Starts everything but the claims, which `parts.ownership` has made or will make.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Arc<Self>, ractor::SpawnErr> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let vital = Vital::default();
        let journal = Arc::clone(&parts.journal);
        let announcer = Announcer::start(journal, &tasks, &vital, stop.clone());
        let shared = Shared::new(
            Arc::clone(&parts.journal),
            Arc::clone(&parts.ownership),
            Arc::clone(&parts.gate),
            announcer,
            tasks.clone(),
        );
        let context = Arc::new(Context {
            writer: Writer::start(&shared, settings.lanes, &vital, &stop),
            positions: Positions::start(parts.cache, Arc::clone(&parts.gate), &tasks, stop.clone()),
            admission: Admission::new(&settings),
            clock: parts.clock,
            ownership: parts.ownership,
            hub: parts.hub,
            live: AtomicU32::new(0),
            recency: Recency::new(settings.passivate_live, settings.passivate_final),
            shards: OnceLock::new(),
            settings,
        });
        let shards: Arc<[Arc<Shard>]> = context
            .ownership
            .count()
            .iter()
            .map(|id| Shard::new(id, Arc::clone(&context)))
            .collect();
        // Set here and nowhere else.
        let _ = context.shards.set(Arc::downgrade(&shards));
        let (supervisor, _) = Actor::spawn(None, NodeSupervisor, shards.to_vec()).await?;
        let node = Arc::new_cyclic(|itself| Self {
            itself: Weak::clone(itself),
            context,
            journal: parts.journal,
            gate: parts.gate,
            shards,
            standing: parts.standing,
            supervisor,
            tasks,
            stop,
            vital,
            followers: OnceLock::new(),
        });
        let sweeping = sweeper::run(Arc::clone(&node.shards), node.stop.clone());
        let guard = node.vital.guard("sweeper", &node.stop);
        node.tasks.spawn(guard.over(sweeping));
        let journal = Arc::clone(&node.journal);
        let watched = scanner::Watched {
            route: parts.saga_route,
            sagas: parts.sagas,
        };
        let scanning = scanner::run(Arc::clone(&node), journal, watched, node.stop.clone());
        let guard = node.vital.guard("deadline scanner", &node.stop);
        node.tasks.spawn(guard.over(scanning));
        Ok(node)
    }

    /// What it can't do without.
    pub fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Finishes what was admitted, at most for `limit`, then ends the actors and the writer and gives
    /// up the shards. Nobody may send commands any more.
    pub async fn shut_down(&self, limit: Duration) {
        let end = Instant::now() + limit;
        // The rest is for telling the authority, which spares the next owner the wait for the lease.
        let deadline = end - limit / 4;
        while self.context.admission.waiting() > 0 && Instant::now() < deadline {
            // Nothing signals the last ticket, on purpose: a ticket is on every command's path.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the writer did not finish in time");
        }
        self.supervisor.stop(None);
        if let Err(error) = self.context.ownership.leave(end).await {
            tracing::warn!(%error, "shards not given up: they are free when the lease ends");
        }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    pub(super) fn gate(&self) -> &CacheGate {
        &self.gate
    }

    /// This replica's shards and lease.
    pub fn ownership(&self) -> &Arc<Ownership> {
        &self.context.ownership
    }

    pub(super) fn shard_of(&self, order: OrderId) -> &Arc<Shard> {
        self.shard(self.context.ownership.shard_of(order))
    }

    pub(super) fn shard(&self, shard: ShardId) -> &Arc<Shard> {
        &self.shards[usize::from(shard.0)]
    }

    /// How many orders of `shard` are in memory; none beyond the count.
    pub fn in_memory(&self, shard: ShardId) -> usize {
        let found = self.shards.get(usize::from(shard.0));
        found.map_or(0, |shard| shard.in_memory())
    }

    /// Lets a request in, which weighs `bytes`; waits while the shard is held. `NotOwner` if it is, or has become, another's.
    async fn enter(&self, order: OrderId, bytes: usize) -> Result<Entered, OrdersError> {
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
                // Seen before the look: a change after it ends the wait.
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

    /// Since when the authority has not answered, if that is why the lease has run out. `None` if
    /// the lease holds, or if this replica was told that it is over.
    pub(super) fn cut_off_for(&self) -> Option<Duration> {
        let standing = self.standing.as_ref()?;
        (*standing.borrow() == Standing::Unreachable)
            .then(|| self.context.ownership.lease_over_for())
    }

    /// Sends a message and waits for its answer.
    async fn ask<T>(
        &self,
        order: OrderId,
        start: Start,
        bytes: usize,
        message: impl FnOnce(Reply<T>, super::admission::Ticket) -> OrderMessage,
    ) -> Result<T, OrdersError> {
        let entered = self.enter(order, bytes).await?;
        let (reply, answer) = oneshot::channel();
        self.shard_of(order)
            .send(order, start, entered, bytes, |ticket| {
                message(reply, ticket)
            })?;
        match tokio::time::timeout(self.context.settings.answer_timeout, answer).await {
            Ok(Ok(result)) => result,
            // The actor failed with the message in hand or in its mailbox.
            Ok(Err(_)) => Err(OrdersError::Restarted),
            Err(_) => Err(append::unavailable(
                "no answer in time; the command may still happen",
            )),
        }
    }

    /// A new id on a shard for which `wanted` holds.
    pub fn draw_id(&self, wanted: impl Fn(ShardId) -> bool) -> Option<OrderId> {
        let mut draws = (0..DRAWS_MAX).map(|_| OrderId(self.context.clock.uuid_v7()));
        draws.find(|order| wanted(self.context.ownership.shard_of(*order)))
    }

    /// A new id on a shard that this replica owns and that takes new work.
    pub fn draw_own_id(&self) -> Option<OrderId> {
        if !self.shards.iter().any(|shard| shard.is_open()) {
            return None;
        }
        self.draw_id(|shard| self.shard(shard).is_open())
    }

    /// Places under an id that was drawn or derived elsewhere. `is_fresh`: nobody can have used it.
    pub async fn place_as(
        &self,
        order: OrderId,
        is_fresh: bool,
        request: PlaceRequest,
    ) -> Result<Done, OrdersError> {
        let started = Instant::now();
        let start = if is_fresh {
            Start::Fresh
        } else {
            Start::Stored
        };
        let bytes = weight::content(&request.content);
        let request = Box::new(request);
        let result = self
            .ask(order, start, bytes, |reply, ticket| {
                OrderMessage::Place(request, reply, ticket)
            })
            .await;
        count("place", started, &result);
        result
    }
}

fn count<T>(command: &'static str, started: Instant, result: &Result<T, OrdersError>) {
    let outcome = match result {
        Ok(_) => "ok",
        Err(OrdersError::NotFound) => "not_found",
        Err(
            OrdersError::Rejected(_)
            | OrdersError::PreconditionFailed { .. }
            | OrdersError::KeyReused
            | OrdersError::NotInTransit { .. },
        ) => "refused",
        Err(OrdersError::Quarantined) => "quarantined",
        Err(OrdersError::Broken { .. }) => "broken",
        Err(OrdersError::Restarted) => "restarted",
        Err(OrdersError::Overloaded { .. }) => "overloaded",
        Err(OrdersError::NotOwner) => "not_owner",
        Err(OrdersError::LeaseOver) => "lease_over",
        Err(OrdersError::Unavailable { .. } | OrdersError::OwnerUnavailable { .. }) => {
            "unavailable"
        }
    };
    metrics::counter!(names::ORDER_COMMANDS, "command" => command, "outcome" => outcome)
        .increment(1);
    metrics::histogram!(names::ORDER_COMMAND_DURATION, "command" => command)
        .record(started.elapsed());
}

#[async_trait]
impl Orders for Node {
    async fn place(&self, request: PlaceRequest) -> Result<Done, OrdersError> {
        if let Some((key, _)) = &request.key {
            return self.place_as(keyed_order_id(key), false, request).await;
        }
        let drawn = self.draw_own_id();
        let drawn = drawn.ok_or_else(|| append::unavailable("this replica owns no shard"))?;
        self.place_as(drawn, true, request).await
    }

    async fn execute(&self, request: CommandRequest) -> Result<Done, OrdersError> {
        let started = Instant::now();
        let (order, command) = (request.order, request.command.name());
        let bytes = weight::command(&request.command);
        let request = Box::new(request);
        let result = self
            .ask(order, Start::Stored, bytes, |reply, ticket| {
                OrderMessage::Execute(request, reply, ticket)
            })
            .await;
        count(command, started, &result);
        result
    }

    async fn read(&self, order: OrderId) -> Result<Read, OrdersError> {
        self.read_view(order).await
    }

    async fn history(&self, order: OrderId) -> Result<History, OrdersError> {
        self.read_order(order).await
    }

    async fn locate(
        &self,
        order: OrderId,
        position: Position,
        key: Option<LocationKey>,
    ) -> Result<bool, OrdersError> {
        self.ask(order, Start::Stored, 0, |reply, ticket| {
            OrderMessage::Locate(position, key, reply, ticket)
        })
        .await
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        session: Arc<dyn Session>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.ask(order, Start::Stored, 0, |reply, ticket| {
            OrderMessage::Subscribe(session, since, reply, ticket)
        })
        .await
    }

    async fn inspect(&self, order: OrderId) -> Result<ActorReport, OrdersError> {
        let shard = self.shard_of(order);
        let entered = self.enter_to_read(order).await?;
        let record = shard.failures.get(order);
        let entry = shard.peek_in(order, entered.tenure);
        let state = if record.as_ref().is_some_and(|record| record.quarantined) {
            "quarantined"
        } else if entry.is_some() {
            "live"
        } else if shard.is_restarting(order) {
            "restarting"
        } else {
            "passive"
        };
        let known = entry.as_ref().and_then(|entry| entry.order.load_full());
        if known.is_none() && record.is_none() {
            // Nothing in memory: is there such an order at all?
            drop(entered);
            self.read_order(order).await?;
        }
        Ok(ActorReport {
            state,
            shard: shard.id.0,
            epoch: self
                .context
                .ownership
                .epoch(shard.id)
                .map_or(-1, |epoch| epoch.0),
            version: known.map(|order| order.version()),
            mailbox: entry.map_or(0, |entry| {
                entry.waiting.load(std::sync::atomic::Ordering::Relaxed)
            }),
            restarts: record.as_ref().map_or(0, super::failures::Record::count),
            last_error: record.map(|record| (record.last_error, record.last_at)),
        })
    }

    async fn release(&self, order: OrderId) -> Result<bool, OrdersError> {
        let shard = self.shard_of(order);
        drop(self.enter(order, 0).await?);
        let released = shard.failures.clear(order);
        if released {
            shard.forget(order);
            shard.wake(order, None)?;
        } else if shard.peek(order).is_none() {
            self.read_order(order).await?;
        }
        Ok(released)
    }
}
