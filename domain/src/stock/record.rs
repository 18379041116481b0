//! One order's reservation with its answers, so that a repeated request gets the same answer as the first.

use super::{Reply, Request, Reservation};
use crate::ids::Sku;
use crate::time::Timestamp;

/// A reservation as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its state.
    pub state: Reservation,
    /// The items that are or were held, or were asked for.
    pub items: Vec<(Sku, u64)>,
    /// The SKUs that were short, if the first answer was a refusal.
    pub failed: Option<Vec<Sku>>,
    /// When the first answer was given.
    pub replied_at: Option<Timestamp>,
    /// When the release was answered.
    pub released_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A reply as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What.
    pub reply: Reply,
    /// When it was given for the first time.
    pub at: Timestamp,
}

impl Record {
    /// The record that `known` becomes when `request` leads to `state` and is answered by `reply` at `now`.
    pub fn after(
        known: Option<&Self>,
        request: &Request,
        state: Reservation,
        reply: Option<&Reply>,
        now: Timestamp,
    ) -> Self {
        let mut record = known.cloned().unwrap_or(Self {
            state,
            items: Vec::new(),
            failed: None,
            replied_at: None,
            released_at: None,
            updated_at: now,
        });
        record.state = state;
        record.updated_at = now;
        if let Request::Reserve(demand) = request {
            record.items.clone_from(demand);
        }
        match reply {
            Some(Reply::Reserved) => record.replied_at = Some(now),
            Some(Reply::Failed(short)) => {
                record.replied_at = Some(now);
                record.failed = Some(short.clone());
            }
            Some(Reply::Released) => record.released_at = Some(now),
            None => {}
        }
        record
    }

    /// The answer to `request`, given for the first time or again: the same each time.
    pub fn answer(&self, request: &Request) -> Option<Answer> {
        let (reply, at) = match request {
            Request::Reserve(_) => {
                let reply = self.failed.clone().map_or(Reply::Reserved, Reply::Failed);
                (reply, self.replied_at?)
            }
            Request::Release => (Reply::Released, self.released_at?),
            Request::Ship => return None,
        };
        Some(Answer { reply, at })
    }
}
