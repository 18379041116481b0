//! How far each followed order has come. Decides which messages are passed on, and where to go on after a
//! lost connection; does no I/O.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::message::LiveMessage;
use crate::problem::Problem;
use crate::status::Status;

/// What to do with a message.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Pass it on.
    Pass,
    /// Pass it on, and stop following this order: it is final.
    PassLast(Uuid),
    /// Leave it out: it was passed on before, or is about an order that isn't followed.
    Skip,
    /// A version is missing, or the server asks to try later: connect again, and go on after the last version.
    Again(String),
    /// The order can't be followed, or none can.
    Refused(Option<Uuid>, Box<Problem>),
}

/// All followed orders.
#[derive(Debug)]
pub struct Progress {
    /// Each with its last known version.
    orders: BTreeMap<Uuid, Option<u32>>,
    until_final: bool,
}

impl Progress {
    /// Nothing was passed on yet.
    pub fn new(orders: Vec<(Uuid, Option<u32>)>, until_final: bool) -> Self {
        Self {
            orders: orders.into_iter().collect(),
            until_final,
        }
    }

    /// How many orders are followed.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// The orders to subscribe to, each with the version after which to start.
    pub fn wanted(&self) -> impl Iterator<Item = (Uuid, Option<u32>)> {
        self.orders.iter().map(|(id, since)| (*id, *since))
    }

    /// Whether no order is followed any more.
    pub fn is_over(&self) -> bool {
        self.orders.is_empty()
    }

    /// Decides what to do with a message, and records its version.
    pub fn take(&mut self, message: &LiveMessage) -> Next {
        match message {
            LiveMessage::Update(update) => {
                let Some(last) = self.orders.get_mut(&update.order_id) else {
                    return Next::Skip;
                };
                match *last {
                    Some(last) if update.version <= last => return Next::Skip,
                    Some(last) if update.version > last + 1 => {
                        let missed = last + 1;
                        return Next::Again(format!("version {missed} is missing"));
                    }
                    _ => *last = Some(update.version),
                }
                self.passed(update.order_id, &update.status)
            }
            LiveMessage::Snapshot {
                order_id,
                version,
                order,
            } => {
                let Some(last) = self.orders.get_mut(order_id) else {
                    return Next::Skip;
                };
                if *last == Some(*version) {
                    return Next::Skip;
                }
                *last = Some(*version);
                self.passed(*order_id, &order.status)
            }
            LiveMessage::Location { order_id, .. } => {
                if self.orders.contains_key(order_id) {
                    Next::Pass
                } else {
                    Next::Skip
                }
            }
            LiveMessage::Error { order_id, problem } => self.refused(*order_id, problem),
            LiveMessage::Unknown => Next::Skip,
        }
    }

    fn passed(&mut self, id: Uuid, status: &Status) -> Next {
        if self.until_final && status.is_final() {
            self.orders.remove(&id);
            return Next::PassLast(id);
        }
        Next::Pass
    }

    fn refused(&mut self, id: Option<Uuid>, problem: &Problem) -> Next {
        if problem.may_pass() {
            return Next::Again(format!("{}: {}", problem.title, problem.detail));
        }
        if let Some(id) = id
            && self.orders.remove(&id).is_none()
        {
            return Next::Skip;
        }
        Next::Refused(id, Box::new(problem.clone()))
    }
}
