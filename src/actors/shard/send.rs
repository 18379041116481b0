//! Sends a message to an order's actor, and starts the actor if there is none.

use std::sync::Arc;

use dashmap::mapref::entry::Entry as MapEntry;
use ractor::{ActorRef, ActorRuntime};
use trackops_domain::ids::OrderId;

use super::enter::{Closed, Entered};
use super::local_shard::Shard;
use crate::actors::admission::{self, Permit};
use crate::actors::in_flight::InFlightGuard;
use crate::actors::order::{Arguments, Entry, OrderActor, OrderMessage, Reply, Start};
use crate::actors::slots::Slot;
use crate::actors::tenure::Tenure;
use crate::model::orders_error::{Full, OrdersError};

impl Shard {
    /// Sends a message that holds `bytes` to the order's actor, starting it if need be. `message` is built
    /// with the permit of its admission. `start` says what a new actor has to load.
    pub fn send(
        &self,
        order: OrderId,
        start: Start,
        entered: Entered,
        bytes: usize,
        message: impl FnOnce(Permit) -> OrderMessage,
    ) -> Result<(), OrdersError> {
        if self.failures.is_quarantined(order) {
            return Err(OrdersError::Quarantined);
        }
        // Before the slot is locked, because an order that is ended to make room has a slot too.
        if self.live.is_full() && !self.slots.contains(order) {
            self.live.make_room();
        }
        let Entered { in_hand, tenure } = entered;
        // Admission and sending happen under the slot's lock. So the sweeper never ends an actor that has, or
        // is about to get, a message.
        let (entry, actor, slot) = match self.slots.lock(order) {
            MapEntry::Occupied(mut slot) => match slot.get() {
                Slot::Live { entry, actor } if entry.tenure == tenure => {
                    return self.deliver(entry, actor, in_hand, bytes, message);
                }
                // The request came in before a break in the ownership, so it isn't this actor's to answer.
                Slot::Live { entry, .. } if entry.tenure > tenure => {
                    return Err(OrdersError::NotOwner);
                }
                Slot::Live { actor, .. } => {
                    actor.stop(None);
                    self.slots.stopped();
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

    /// Has the order's actor load the order and tell the listeners what they lack; `reply` gets the outcome.
    pub fn wake(&self, order: OrderId, reply: Option<Reply<()>>) -> Result<(), OrdersError> {
        let entered = self.enter().map_err(Closed::into_error)?;
        self.send(order, Start::Restarted, entered, 0, |permit| {
            OrderMessage::Wake(reply, permit)
        })
    }

    fn deliver(
        &self,
        entry: &Entry,
        actor: &ActorRef<OrderMessage>,
        in_hand: InFlightGuard,
        bytes: usize,
        message: impl FnOnce(Permit) -> OrderMessage,
    ) -> Result<(), OrdersError> {
        let permit = self
            .context
            .admission
            .admit(&entry.waiting, in_hand, bytes)?;
        // A failed send: the actor has just failed, and the report to its supervisor is still on its way.
        actor
            .cast(message(permit))
            .map_err(|_| OrdersError::Restarted)
    }

    fn spawn(
        &self,
        order: OrderId,
        start: Start,
        tenure: Tenure,
    ) -> Result<(Arc<Entry>, ActorRef<OrderMessage>), OrdersError> {
        if self.live.is_at_the_most() {
            return Err(admission::refused(Full::Actors));
        }
        let supervisor = self.supervisor().ok_or(OrdersError::Restarted)?;
        let entry = Arc::new(Entry::new(tenure, self.live.enter(order)));
        // The predecessor may have ended before it told the listeners of its last commit.
        let start = match start {
            Start::Stored if self.context.hub.is_watched(order) => Start::Restarted,
            start => start,
        };
        let arguments = Arguments {
            order,
            shard: self.id,
            context: Arc::clone(&self.context),
            entry: Arc::clone(&entry),
            start,
        };
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, OrderActor, arguments, supervisor)
                .map_err(|_| OrdersError::Restarted)?;
        self.slots.started();
        Ok((entry, actor))
    }
}
