//! How far each followed order has been printed: what may be printed next, and where to go on after
//! a lost connection. Pure.

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
    /// Print it, and ask for no more of this order: it is final.
    PrintLast(Uuid),
    /// It has been printed, or isn't for us.
    Skip,
    /// Something is missing, or the server asks for patience: connect again and go on from where we are.
    Again(String),
    /// The order can't be followed; why.
    Refused(Box<Problem>),
}

/// All followed orders.
pub struct Progress {
    /// Those still followed, with the last version that is known.
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

    /// What to subscribe to, and from where.
    pub fn wanted(&self) -> impl Iterator<Item = (Uuid, Option<u32>)> {
        self.orders.iter().map(|(id, since)| (*id, *since))
    }

    /// No order is followed any more.
    pub fn is_over(&self) -> bool {
        self.orders.is_empty()
    }

    /// Some order could not be followed.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Judges a message and moves on.
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
