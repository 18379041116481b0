//! How far each followed order has been printed. Decides what may be printed next, and where to go on after a
//! lost connection; does no I/O.

use std::collections::BTreeMap;

use trackops_domain::status::Status;
use uuid::Uuid;

use super::message::ServerMessage;
use crate::cli::problem::Problem;

/// What to do with a message.
#[derive(Debug)]
pub enum Next {
    /// Print it.
    Print,
    /// Print it, and stop following this order: it is final.
    PrintLast(Uuid),
    /// Ignore it: it was printed already, or concerns an order that isn't followed.
    Skip,
    /// A version is missing, or the server asks to try later: connect again and go on after the last printed
    /// version.
    Again(String),
    /// The order can't be followed, for this reason.
    Refused(Box<Problem>),
}

/// All followed orders.
pub struct Progress {
    /// The orders still followed, each with its last known version.
    orders: BTreeMap<Uuid, Option<u32>>,
    until_final: bool,
    failed: bool,
}

impl Progress {
    /// Nothing printed yet.
    pub fn new(orders: Vec<(Uuid, Option<u32>)>, until_final: bool) -> Self {
        Self {
            orders: orders.into_iter().collect(),
            until_final,
            failed: false,
        }
    }

    /// The orders to subscribe to, each with the version after which to start.
    pub fn wanted(&self) -> impl Iterator<Item = (Uuid, Option<u32>)> {
        self.orders.iter().map(|(id, since)| (*id, *since))
    }

    /// Whether no order is followed any more.
    pub fn is_over(&self) -> bool {
        self.orders.is_empty()
    }

    /// Whether some order could not be followed.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Decides what to do with a message, and records its version.
    pub fn take(&mut self, message: &ServerMessage) -> Next {
        match message {
            ServerMessage::Update(update) => {
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
                self.printed(update.order_id, &update.status)
            }
            ServerMessage::Snapshot {
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
                self.printed(*order_id, &order.status)
            }
            ServerMessage::Location { order_id, .. } => {
                if self.orders.contains_key(order_id) {
                    Next::Print
                } else {
                    Next::Skip
                }
            }
            ServerMessage::Error { order_id, problem } => self.refused(*order_id, problem),
            ServerMessage::Unknown => Next::Skip,
        }
    }

    fn printed(&mut self, id: Uuid, status: &str) -> Next {
        let is_final = Status::parse(status).is_some_and(Status::is_final);
        if self.until_final && is_final {
            self.orders.remove(&id);
            return Next::PrintLast(id);
        }
        Next::Print
    }

    fn refused(&mut self, id: Option<Uuid>, problem: &Problem) -> Next {
        if problem.may_pass() {
            let problem = problem.clone().cleaned();
            return Next::Again(format!("{}: {}", problem.title, problem.detail));
        }
        match id {
            Some(id) if self.orders.remove(&id).is_none() => return Next::Skip,
            _ => self.failed = true,
        }
        Next::Refused(Box::new(problem.clone().cleaned()))
    }
}
