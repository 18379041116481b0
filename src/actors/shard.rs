//! One owned shard: the map from an order to its actor, and everything that an actor needs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use parking_lot::RwLock;
use ractor::{ActorCell, ActorRef, ActorRuntime};
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::admission::{self, Admission, Hands, InHand};
use super::failures::Failures;
use super::order::{OrderActor, OrderMessage, Reply, Start};
use super::order_append as append;
use super::ownership::Ownership;
use super::positions::Positions;
use super::recency::{Place, Recency};
use super::settings::Settings;
use super::tenure::{Standing, Tenure};
use super::writer::Writer;
use crate::model::orders_error::{Full, OrdersError};
use crate::model::position::Position;
use crate::ports::clock::Clock;
use crate::ports::live::LiveHub;

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
    /// Which of them have been idle the longest.
    pub recency: Arc<Recency>,
    /// All of them, for whoever makes room. Set once they are there.
    pub shards: OnceLock<Weak<[Arc<Shard>]>>,
}

/// What others may know of a live order without asking its actor.
pub struct Entry {
    /// Since when its shard has been owned without a break.
    pub tenure: Tenure,
    /// The last committed state; `None` until loaded, or if there is no such order.
    pub order: ArcSwapOption<Order>,
    /// The courier.
    pub position: ArcSwapOption<Position>,
    /// Messages admitted and not yet done with.
    pub waiting: Arc<AtomicU32>,
    /// When it last had work, beside the others.
    pub place: Place,
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

/// A request that found its shard open.
pub struct Entered {
    /// Keeps the shard from being handed over until the request is done with.
    pub in_hand: InHand,
    /// In which tenure it was open.
    pub tenure: Tenure,
}

/// Why a shard takes no new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Not this replica's.
    NotOwned,
    /// On its way to another replica, which is decided in a moment.
    Held,
    /// A statement of unknown outcome is being settled.
    Settling,
}

impl Closed {
    /// What a caller that doesn't wait is told.
    pub fn into_error(self) -> OrdersError {
        match self {
            Self::NotOwned => OrdersError::NotOwner,
            Self::Held => append::unavailable("the order's shard is moving to another replica"),
            Self::Settling => {
                append::unavailable("a lost write of the order's shard is being settled")
            }
        }
    }
}

/// A shard of this replica.
pub struct Shard {
    /// Which.
    pub id: ShardId,
    /// What all share.
    pub context: Arc<Context>,
    /// Failures and quarantine.
    pub failures: Failures,
    /// What has been admitted to this shard and isn't done with.
    pub hands: Arc<Hands>,
    /// Requests that wait until the shard is no longer held.
    pub held: Arc<AtomicU32>,
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
            hands: Arc::default(),
            held: Arc::default(),
            slots: DashMap::with_shard_amount(4),
            supervisor: RwLock::new(None),
        })
    }

    /// Lets a request in, if the shard takes new work now.
    pub fn enter(&self) -> Result<Entered, Closed> {
        let in_hand = self.hands.take();
        let (standing, tenure) = self.context.ownership.standing(self.id);
        match standing {
            Standing::Owned(_) => Ok(Entered { in_hand, tenure }),
            Standing::Held(_) | Standing::Drained(_) => Err(Closed::Held),
            Standing::Settling(_) => Err(Closed::Settling),
            Standing::Free(_) => Err(Closed::NotOwned),
        }
    }

    /// Whether the shard takes new work now.
    pub fn is_open(&self) -> bool {
        matches!(
            self.context.ownership.standing(self.id).0,
            Standing::Owned(_)
        )
    }

    /// Lets a read in: what is committed may be shown also while a lost append is being settled.
    pub fn enter_to_read(&self) -> Result<Entered, Closed> {
        let in_hand = self.hands.take();
        let (standing, tenure) = self.context.ownership.standing(self.id);
        match standing {
            Standing::Owned(_) | Standing::Settling(_) => Ok(Entered { in_hand, tenure }),
            Standing::Held(_) | Standing::Drained(_) => Err(Closed::Held),
            Standing::Free(_) => Err(Closed::NotOwned),
        }
    }

    /// Sends a message that holds `bytes` to the order's actor, starting it if need be. `message` is
    /// made with the ticket of its admission. `start` says what a new actor has to load.
    pub fn send(
        self: &Arc<Self>,
        order: OrderId,
        start: Start,
        entered: Entered,
        bytes: usize,
        message: impl FnOnce(super::admission::Ticket) -> OrderMessage,
    ) -> Result<(), OrdersError> {
        if self.failures.is_quarantined(order) {
            return Err(OrdersError::Quarantined);
        }
        // Before the slot is locked: what is ended for it has a slot too.
        if self.context.is_full() && !self.slots.contains_key(&order) {
            self.context.make_room();
        }
        let Entered { in_hand, tenure } = entered;
        // Admission and sending happen under the slot's lock, so the sweeper never ends an actor
        // that has, or is about to get, a message.
        let (entry, actor, slot) = match self.slots.entry(order) {
            MapEntry::Occupied(mut slot) => match slot.get() {
                Slot::Live { entry, actor } if entry.tenure == tenure => {
                    return self.deliver(entry, actor, in_hand, bytes, message);
                }
                // Came in before a break in the ownership: it is somebody else's to answer.
                Slot::Live { entry, .. } if entry.tenure > tenure => {
                    return Err(OrdersError::NotOwner);
                }
                Slot::Live { actor, .. } => {
                    actor.stop(None);
                    self.context.live.fetch_sub(1, Ordering::Relaxed);
                    let (entry, actor) = match self.spawn(order, start, tenure) {
                        Ok(spawned) => spawned,
                        Err(error) => {
                            slot.remove();
                            return Err(error);
                        }
                    };
                    slot.insert(Slot::Live {
                        entry: Arc::clone(&entry),
                        actor: actor.clone(),
                    });
                    (entry, actor, slot.into_ref())
                }
                Slot::Restarting => return Err(OrdersError::Restarted),
            },
            MapEntry::Vacant(vacant) => {
                let (entry, actor) = self.spawn(order, start, tenure)?;
                let slot = vacant.insert(Slot::Live {
                    entry: Arc::clone(&entry),
                    actor: actor.clone(),
                });
                (entry, actor, slot)
            }
        };
        let delivered = self.deliver(&entry, &actor, in_hand, bytes, message);
        drop(slot);
        delivered
    }

    /// Has the order's actor load it and tell the listeners what they lack; `reply` hears of it.
    pub fn wake(
        self: &Arc<Self>,
        order: OrderId,
        reply: Option<Reply<()>>,
    ) -> Result<(), OrdersError> {
        let entered = self.enter().map_err(Closed::into_error)?;
        self.send(order, Start::Restarted, entered, 0, |ticket| {
            OrderMessage::Wake(reply, ticket)
        })
    }

    fn deliver(
        &self,
        entry: &Entry,
        actor: &ActorRef<OrderMessage>,
        in_hand: InHand,
        bytes: usize,
        message: impl FnOnce(super::admission::Ticket) -> OrderMessage,
    ) -> Result<(), OrdersError> {
        let ticket = self
            .context
            .admission
            .admit(&entry.waiting, in_hand, bytes)?;
        // The actor has just ended by a failure whose report is still on its way.
        actor
            .cast(message(ticket))
            .map_err(|_| OrdersError::Restarted)
    }

    fn spawn(
        self: &Arc<Self>,
        order: OrderId,
        start: Start,
        tenure: Tenure,
    ) -> Result<(Arc<Entry>, ActorRef<OrderMessage>), OrdersError> {
        let context = &self.context;
        if context.live.load(Ordering::Relaxed) as usize
            >= context.settings.actors_max.saturating_mul(5) / 4
        {
            return Err(admission::refused(Full::Actors));
        }
        let supervisor = self
            .supervisor
            .read()
            .clone()
            .ok_or(OrdersError::Restarted)?;
        let entry = Arc::new(Entry {
            tenure,
            order: ArcSwapOption::empty(),
            position: ArcSwapOption::empty(),
            waiting: Arc::new(AtomicU32::new(0)),
            place: context.recency.enter(order),
        });
        // Its predecessor may have ended before it told those who listen of its last commit.
        let start = match start {
            Start::Stored if context.hub.is_watched(order) => Start::Restarted,
            start => start,
        };
        let arguments = (order, Arc::clone(self), Arc::clone(&entry), start);
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, OrderActor, arguments, supervisor)
                .map_err(|_| OrdersError::Restarted)?;
        context.live.fetch_add(1, Ordering::Relaxed);
        Ok((entry, actor))
    }

    /// The live order's entry, if it is of `tenure`, without waking anything.
    pub fn peek_in(&self, order: OrderId, tenure: Tenure) -> Option<Arc<Entry>> {
        self.peek(order).filter(|entry| entry.tenure == tenure)
    }

    /// Ends every actor and forgets what is known of failures: the shard is, or may be, another's.
    pub fn clear(&self) {
        let mut ended = Vec::new();
        self.slots.retain(|order, slot| {
            if let Slot::Live { actor, .. } = slot {
                ended.push((*order, actor.clone()));
                self.context.live.fetch_sub(1, Ordering::Relaxed);
            }
            false
        });
        stop_in_order(ended);
        self.slots.shrink_to_fit();
        self.failures.clear_all();
    }

    /// The live order's entry, without waking anything.
    pub fn peek(&self, order: OrderId) -> Option<Arc<Entry>> {
        match &*self.slots.get(&order)? {
            Slot::Live { entry, .. } => Some(Arc::clone(entry)),
            Slot::Restarting => None,
        }
    }

    /// How many orders are in memory, those that are being started again too.
    pub fn in_memory(&self) -> usize {
        self.slots.len()
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
        // Never both locks at once: `send` takes this one while it holds a slot's.
        *self.supervisor.write() = None;
        self.slots.retain(|_, slot| {
            if matches!(slot, Slot::Live { .. }) {
                self.context.live.fetch_sub(1, Ordering::Relaxed);
            }
            false
        });
        *self.supervisor.write() = supervisor;
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

    /// Ends the actor of `order`, which was taken from [`Recency`] as the longest idle; whether it did.
    /// An idle actor has nothing in hand and nothing in its mailbox, and a new one would load what
    /// it knows: so its slot is simply free from here on.
    pub fn end_idle(&self, order: OrderId) -> bool {
        let ended = self.slots.remove_if(&order, |_, slot| {
            // Without an actor, whoever has the place taken is about to give it up.
            let Slot::Live { entry, .. } = slot else {
                return false;
            };
            let is_idle = entry.waiting.load(Ordering::Acquire) == 0;
            if !is_idle {
                entry.place.put_back();
            }
            is_idle
        });
        let Some((_, Slot::Live { entry, actor })) = ended else {
            return false;
        };
        self.context.live.fetch_sub(1, Ordering::Relaxed);
        // Others may hold the entry for a moment longer, and its place with it.
        entry.place.weigh(0);
        actor.stop(None);
        true
    }

    /// Gives memory back once most of the map is empty; whenever an actor ends would copy it each time.
    pub fn shrink(&self) {
        if self.slots.capacity() > 1_024 && self.slots.capacity() / 4 > self.slots.len() {
            self.slots.shrink_to_fit();
        }
    }
}

/// The map's own order differs from run to run; that in which actors end must not.
fn stop_in_order(mut ended: Vec<(OrderId, ActorRef<OrderMessage>)>) {
    ended.sort_unstable_by_key(|(order, _)| *order);
    for (_, actor) in ended {
        actor.stop(None);
    }
}
