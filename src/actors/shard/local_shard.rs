//! One shard of this replica: its live orders, their failures, and the supervisor of their actors.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::RwLock;
use ractor::ActorCell;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;

use crate::actors::context::Context;
use crate::actors::failures::Failures;
use crate::actors::in_flight::InFlightCount;
use crate::actors::live_orders::LiveOrders;
use crate::actors::order::Entry;
use crate::actors::slots::Slots;
use crate::actors::tenure::Tenure;

/// A shard of this replica.
pub struct Shard {
    /// The shard's number.
    pub id: ShardId,
    /// What all actors of the replica share.
    pub context: Arc<Context>,
    /// Failures and quarantine.
    pub failures: Failures,
    /// Requests that were admitted to this shard and are not done.
    pub hands: Arc<InFlightCount>,
    /// Requests that wait until the shard is no longer held.
    pub held: Arc<AtomicU32>,
    pub(super) live: Arc<LiveOrders>,
    /// This shard's part of `live`.
    pub(super) slots: Arc<Slots>,
    /// The supervisor that new actors are linked to; `None` while it is being restarted.
    supervisor: RwLock<Option<ActorCell>>,
}

impl Shard {
    /// A shard without live orders.
    pub fn new(id: ShardId, context: Arc<Context>, live: Arc<LiveOrders>) -> Arc<Self> {
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
            slots: Arc::clone(live.slots(id)),
            live,
            supervisor: RwLock::new(None),
        })
    }

    /// The live order's entry, if it is of `tenure`. Starts no actor.
    pub fn peek_in(&self, order: OrderId, tenure: Tenure) -> Option<Arc<Entry>> {
        self.peek(order).filter(|entry| entry.tenure == tenure)
    }

    /// The live order's entry. Starts no actor.
    pub fn peek(&self, order: OrderId) -> Option<Arc<Entry>> {
        self.slots.peek(order)
    }

    /// How many orders are in memory, including those that are being restarted.
    pub fn in_memory(&self) -> usize {
        self.slots.in_memory()
    }

    /// Whether the order's actor is being restarted.
    pub fn is_restarting(&self, order: OrderId) -> bool {
        self.slots.is_restarting(order)
    }

    /// Ends every actor and forgets all failures: the shard is, or may be, another replica's.
    pub fn clear(&self) {
        self.slots.end_all();
        self.failures.clear_all();
    }

    /// Sets the supervisor for new actors; `None` while there is none. Forgets every actor: those of the last
    /// supervisor have ended with it.
    pub fn supervise(&self, supervisor: Option<ActorCell>) {
        // Never holds both locks at once: `send` takes this one while it holds a slot's.
        *self.supervisor.write() = None;
        self.slots.forget_all();
        *self.supervisor.write() = supervisor;
    }

    pub(super) fn supervisor(&self) -> Option<ActorCell> {
        self.supervisor.read().clone()
    }

    /// Marks the order whose actor was `failed` as restarting. Returns the order.
    pub fn failed(&self, failed: &ActorCell) -> Option<OrderId> {
        self.slots.failed(failed)
    }

    /// Removes the order's mark, so that the next message starts it.
    pub fn forget(&self, order: OrderId) {
        self.slots.forget(order);
    }
}
