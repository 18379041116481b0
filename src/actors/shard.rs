//! One owned shard: the map from an order to its actor, and everything that an actor needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use parking_lot::RwLock;
use ractor::{ActorCell, ActorRef, ActorRuntime};
use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::admission::Admission;
use super::failures::Failures;
use super::order::{OrderActor, OrderMessage, Start};
use super::ownership::Ownership;
use super::positions::Positions;
use super::settings::Settings;
use super::writer::Writer;
use crate::ports::cache::Position;
use crate::ports::clock::Clock;
use crate::ports::live::LiveHub;
use crate::ports::orders::OrdersError;

/// What every actor of a replica shares.
pub struct Context {
    /// Bounds and timings.
    pub settings: Settings,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Shards, epochs, lease.
    pub ownership: Arc<Ownership>,
    /// Group commit.
    pub writer: Writer,
    /// Listeners.
    pub hub: Arc<dyn LiveHub>,
    /// Courier positions.
    pub positions: Positions,
    /// What may enter a mailbox.
    pub admission: Arc<Admission>,
    /// Live actors.
    pub live: AtomicU32,
    /// For [`Entry::used`].
    pub started: Instant,
}

/// What others may know of a live order without asking its actor.
pub struct Entry {
    /// The last committed state; `None` until loaded, or if there is no such order.
    pub order: ArcSwapOption<Order>,
    /// The courier.
    pub position: ArcSwapOption<Position>,
    /// Messages admitted and not yet done with.
    pub waiting: Arc<AtomicU32>,
    /// When it last had work, in tenths of a second since [`Context::started`].
    pub used: AtomicU32,
}

/// An order's place in the map.
enum Slot {
    /// It has an actor.
    Live {
        entry: Arc<Entry>,
        actor: ActorRef<OrderMessage>,
    },
    /// Its actor failed; the supervisor starts it again shortly.
    Restarting,
}

/// A shard of this replica.
pub struct Shard {
    /// Which.
    pub id: ShardId,
    /// What all share.
    pub context: Arc<Context>,
    /// Failures and quarantine.
    pub failures: Failures,
    slots: DashMap<OrderId, Slot>,
    /// The supervisor that new actors are linked to; `None` while it is being started again.
    supervisor: RwLock<Option<ActorCell>>,
}

impl Shard {
    /// An empty one. Few locks per shard: there are many shards.
    pub fn new(id: ShardId, context: Arc<Context>) -> Arc<Self> {
        let failures = Failures::new(
            context.settings.failures_max,
            context.settings.failure_window,
        );
        Arc::new(Self {
            id,
            context,
            failures,
            slots: DashMap::with_shard_amount(4),
            supervisor: RwLock::new(None),
        })
    }

    /// Sends a message to the order's actor, starting it if need be. `message` is made with the
    /// ticket of its admission. `start` says what a new actor has to load.
    pub fn send(
        self: &Arc<Self>,
        order: OrderId,
        start: Start,
        message: impl FnOnce(super::admission::Ticket) -> OrderMessage,
    ) -> Result<(), OrdersError> {
        if self.failures.is_quarantined(order) {
            return Err(OrdersError::Quarantined);
        }
        // Admission and sending happen under the slot's lock, so the sweeper never ends an actor
        // that has, or is about to get, a message.
        let (entry, actor) = match self.slots.entry(order) {
            MapEntry::Occupied(slot) => match slot.get() {
                Slot::Live { entry, actor } => {
                    return self.deliver(entry, actor, message);
                }
                Slot::Restarting => return Err(OrdersError::Restarted),
            },
            MapEntry::Vacant(vacant) => {
                let (entry, actor) = self.spawn(order, start)?;
                let slot = vacant.insert(Slot::Live {
                    entry: Arc::clone(&entry),
                    actor: actor.clone(),
                });
                self.deliver(&entry, &actor, message)?;
                drop(slot);
                (entry, actor)
            }
        };
        drop((entry, actor));
        Ok(())
    }

    fn deliver(
        &self,
        entry: &Entry,
        actor: &ActorRef<OrderMessage>,
        message: impl FnOnce(super::admission::Ticket) -> OrderMessage,
    ) -> Result<(), OrdersError> {
        let ticket = self.context.admission.admit(&entry.waiting)?;
        entry.used.store(self.context.tick(), Ordering::Relaxed);
        // The actor has just ended by a failure whose report is still on its way.
        actor
            .cast(message(ticket))
            .map_err(|_| OrdersError::Restarted)
    }

    fn spawn(
        self: &Arc<Self>,
        order: OrderId,
        start: Start,
    ) -> Result<(Arc<Entry>, ActorRef<OrderMessage>), OrdersError> {
        let context = &self.context;
        if context.live.load(Ordering::Relaxed) as usize
            >= context.settings.actors_max.saturating_mul(5) / 4
        {
            return Err(OrdersError::Overloaded {
                retry_after: Duration::from_secs(1),
            });
        }
        let supervisor = self
            .supervisor
            .read()
            .clone()
            .ok_or(OrdersError::Restarted)?;
        let entry = Arc::new(Entry {
            order: ArcSwapOption::empty(),
            position: ArcSwapOption::empty(),
            waiting: Arc::new(AtomicU32::new(0)),
            used: AtomicU32::new(context.tick()),
        });
        let arguments = (order, Arc::clone(self), Arc::clone(&entry), start);
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, OrderActor, arguments, supervisor)
                .map_err(|_| OrdersError::Restarted)?;
        context.live.fetch_add(1, Ordering::Relaxed);
        Ok((entry, actor))
    }

    /// The live order's entry, without waking anything.
    pub fn peek(&self, order: OrderId) -> Option<Arc<Entry>> {
        match &*self.slots.get(&order)? {
            Slot::Live { entry, .. } => Some(Arc::clone(entry)),
            Slot::Restarting => None,
        }
    }

    /// Whether the order's actor is being started again.
    pub fn is_restarting(&self, order: OrderId) -> bool {
        self.slots
            .get(&order)
            .is_some_and(|slot| matches!(&*slot, Slot::Restarting))
    }

    /// The supervisor for new actors; `None` while there is none. Forgets every actor: those of the
    /// last supervisor have ended with it.
    pub fn supervise(&self, supervisor: Option<ActorCell>) {
        let mut current = self.supervisor.write();
        self.slots.retain(|_, slot| {
            if matches!(slot, Slot::Live { .. }) {
                self.context.live.fetch_sub(1, Ordering::Relaxed);
            }
            false
        });
        *current = supervisor;
    }

    /// Marks the order whose actor was `failed` as restarting; which it was.
    pub fn failed(&self, failed: &ActorCell) -> Option<OrderId> {
        let order = self.slots.iter().find_map(|slot| match slot.value() {
            Slot::Live { actor, .. } if actor.get_id() == failed.get_id() => Some(*slot.key()),
            _ => None,
        })?;
        if let Some(mut slot) = self.slots.get_mut(&order) {
            *slot = Slot::Restarting;
        }
        self.context.live.fetch_sub(1, Ordering::Relaxed);
        Some(order)
    }

    /// Takes the order's mark away: the next message starts it.
    pub fn forget(&self, order: OrderId) {
        self.slots
            .remove_if(&order, |_, slot| matches!(slot, Slot::Restarting));
    }

    /// Ends actors that have been idle for long; `live_for`/`final_for` are the limits, in ticks.
    /// An idle actor has nothing in hand and nothing in its mailbox, and a new one would load what
    /// it knows: so its slot is simply free from here on.
    pub fn sweep(&self, live_for: u32, final_for: u32) {
        let now = self.context.tick();
        self.slots.retain(|_, slot| {
            let Slot::Live { entry, actor } = slot else {
                return true;
            };
            let idle = now.saturating_sub(entry.used.load(Ordering::Relaxed));
            let is_final = entry
                .order
                .load()
                .as_ref()
                .is_none_or(|order| order.status().is_final());
            let limit = if is_final { final_for } else { live_for };
            if idle < limit || entry.waiting.load(Ordering::Acquire) > 0 {
                return true;
            }
            actor.stop(None);
            self.context.live.fetch_sub(1, Ordering::Relaxed);
            false
        });
        // Memory goes back once most of it is empty; shrinking at every sweep would copy the map each time.
        if self.slots.capacity() > 1_024 && self.slots.capacity() / 4 > self.slots.len() {
            self.slots.shrink_to_fit();
        }
    }
}

impl Context {
    /// Tenths of a second since the start: wraps after thirteen years.
    pub fn tick(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis() / 100).unwrap_or(u32::MAX)
    }
}
