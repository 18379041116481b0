//! Decides what a command does to an order, or why it is refused. Pure: the caller brings time and ids.
//! Leaves applying the outcome to [`crate::evolve`].

use std::sync::Arc;

use thiserror::Error;

use crate::command::{Command, HeldUp, Origin, REASON_UNLESS_GIVEN};
use crate::event::{Change, OrderEvent};
use crate::ids::{CourierId, OrderId, Version};
use crate::order::Order;
use crate::placed::Placed;
use crate::saga::{Intent, Policy, Saga, Stock};
use crate::status::Status;
use crate::time::Timestamp;

/// The outcome of a command. It has at most one event, because an event is exactly one change of status.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing to do; the command is a success all the same.
    Unchanged,
    /// The event that happened.
    Event(OrderEvent),
    /// Saga bookkeeping: the new saga state and messages to send (again), without version or event.
    Bookkeep {
        /// The saga's new state.
        saga: Saga,
        /// Messages of the order's current version to send again, under their first ids.
        resend: &'static [Intent],
    },
}

/// A step that the order's status doesn't allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an order that is {current} can't become {wanted}")]
pub struct Rejection {
    /// The order's status.
    pub current: Status,
    /// The status that was asked for.
    pub wanted: Status,
}

impl Rejection {
    /// The steps that a client may take instead.
    pub const fn allowed(&self) -> &'static [Status] {
        self.current.client_steps()
    }

    /// Whether the step may become legal later, after others.
    pub fn may_come(&self) -> bool {
        self.current.can_reach(self.wanted)
    }
}

/// The first event of a new order.
pub fn place(
    order: OrderId,
    content: Arc<Placed>,
    body_hash: Option<[u8; 32]>,
    origin: Origin,
) -> OrderEvent {
    OrderEvent {
        order,
        version: Version::FIRST,
        at: origin.now,
        by: origin.by,
        command: origin.command,
        change: Change::Placed { content, body_hash },
    }
}

/// Decides what `command` does to `order`. The caller must first answer a command whose id the order
/// knows ([`Order::answered`]).
#[expect(
    clippy::needless_pass_by_value,
    reason = "an origin is made for one decision"
)]
pub fn decide(
    order: &Order,
    command: &Command,
    origin: Origin,
    policy: &Policy,
) -> Result<Decision, Rejection> {
    let current = order.status();
    // An order's time never runs backwards, even if this replica's clock is behind.
    let now = origin.now.max(order.updated_at());
    let event = |change: Change| {
        Decision::Event(OrderEvent {
            order: order.id,
            version: order.version().next(),
            at: now,
            by: Arc::clone(&origin.by),
            command: origin.command,
            change,
        })
    };
    match command {
        Command::Advance { to, .. } => client_step(current, *to, None, command.courier())
            .map(|change| change.map_or(Decision::Unchanged, event)),
        Command::Cancel { reason } => client_step(current, Status::Cancelled, Some(reason), None)
            .map(|change| change.map_or(Decision::Unchanged, event)),
        Command::StockReserved if current == Status::Pending => Ok(event(Change::Confirmed)),
        Command::StockRefused { reason } if current == Status::Pending => {
            Ok(event(Change::Rejected {
                reason: reason.clone(),
            }))
        }
        Command::StockReleased if order.saga.stock == Stock::Releasing => Ok(Decision::Bookkeep {
            saga: Saga {
                stock: Stock::Released,
                deadline: None,
                ..order.saga
            },
            resend: &[],
        }),
        // These replies are late or repeated. If a cancellation overtook them, it releases the stock.
        Command::StockReserved | Command::StockRefused { .. } | Command::StockReleased => {
            Ok(Decision::Unchanged)
        }
        Command::DeadlineDue { deadline, held_up } => {
            // Not due by this replica's clock: the deadline was found due by another clock.
            let is_early = now < *deadline;
            if order.saga.deadline != Some(*deadline) || is_early {
                return Ok(Decision::Unchanged);
            }
            Ok(match (current, order.saga.stock) {
                (Status::Pending, _) => reservation_due(order, *held_up, now, policy)
                    .unwrap_or_else(|| {
                        event(Change::Cancelled {
                            reason: "reservation timed out".into(),
                        })
                    }),
                (_, Stock::Releasing) => release_due(order.saga, *held_up, now, policy),
                // The order awaits nothing: an older version of the program has left the deadline.
                _ => moved(order.saga, None),
            })
        }
    }
}

/// Decides what an order that waits for stock does when its deadline has passed. `None` means to give up.
fn reservation_due(
    order: &Order,
    held_up: HeldUp,
    now: Timestamp,
    policy: &Policy,
) -> Option<Decision> {
    let deadline = Some(now.plus(policy.reservation_timeout));
    match held_up {
        HeldUp::Unsent => Some(moved(order.saga, deadline)),
        HeldUp::Behind => {
            let waited = now.since(order.created_at());
            (waited < policy.reservation_wait_max).then(|| moved(order.saga, deadline))
        }
        HeldUp::Not if order.saga.asked_again < policy.ask_again_max => Some(Decision::Bookkeep {
            saga: Saga {
                asked_again: order.saga.asked_again + 1,
                deadline,
                ..order.saga
            },
            resend: &[Intent::AnnounceCreated],
        }),
        HeldUp::Not => None,
    }
}

/// Asks for a release again until inventory confirms it: stock that stays held for a cancelled order
/// can't be sold.
fn release_due(saga: Saga, held_up: HeldUp, now: Timestamp, policy: &Policy) -> Decision {
    if held_up != HeldUp::Not {
        return moved(saga, Some(now.plus(policy.release_timeout)));
    }
    let asked_again = saga.asked_again.saturating_add(1);
    Decision::Bookkeep {
        saga: Saga {
            asked_again,
            deadline: Some(now.plus(policy.release_pause(asked_again))),
            ..saga
        },
        resend: &[Intent::AnnounceCancelled],
    }
}

const fn moved(saga: Saga, deadline: Option<Timestamp>) -> Decision {
    Decision::Bookkeep {
        saga: Saga { deadline, ..saga },
        resend: &[],
    }
}

fn client_step(
    current: Status,
    wanted: Status,
    reason: Option<&str>,
    courier: Option<&CourierId>,
) -> Result<Option<Change>, Rejection> {
    if current == wanted {
        return Ok(None);
    }
    if !current.client_steps().contains(&wanted) {
        return Err(Rejection { current, wanted });
    }
    match wanted {
        Status::Preparing => Ok(Some(Change::Preparing {
            courier: courier.cloned(),
        })),
        Status::InTransit => Ok(Some(Change::InTransit {
            courier: courier.cloned(),
        })),
        Status::Delivered => Ok(Some(Change::Delivered)),
        Status::Cancelled => Ok(Some(Change::Cancelled {
            reason: reason.unwrap_or(REASON_UNLESS_GIVEN).into(),
        })),
        // No client may take these steps; the check above has refused them.
        Status::Pending | Status::Confirmed | Status::Rejected => {
            Err(Rejection { current, wanted })
        }
    }
}
