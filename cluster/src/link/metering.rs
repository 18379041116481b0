//! The metrics of a link, for dashboards.

use bytes::Bytes;
use metrics::{Counter, Gauge, counter, gauge};

use super::error::LinkError;
use crate::names;

/// The metrics of the link to one peer.
pub(super) struct Meters {
    peer: String,
    up: Gauge,
    answered: Counter,
    sent: Counter,
    received: Counter,
}

impl Meters {
    pub fn of(peer: &str) -> Self {
        let bytes = |direction: &'static str| counter!(names::LINK_BYTES, "peer" => peer.to_owned(), "direction" => direction);
        Self {
            peer: peer.to_owned(),
            up: gauge!(names::LINK_UP, "peer" => peer.to_owned()),
            answered: calls(peer, "ok"),
            sent: bytes("sent"),
            received: bytes("received"),
        }
    }

    pub fn up(&self, up: bool) {
        self.up.set(f64::from(u8::from(up)));
    }

    pub fn called(&self, payload_bytes: usize, outcome: &Result<Bytes, LinkError>) {
        match outcome {
            Ok(_) => self.answered.increment(1),
            Err(error) => calls(&self.peer, error.outcome()).increment(1),
        }
        if !outcome.as_ref().is_err_and(LinkError::never_delivered) {
            self.sent(payload_bytes);
        }
    }

    pub fn sent(&self, payload_bytes: usize) {
        self.sent.increment(payload_bytes as u64);
    }

    pub fn received(&self, payload_bytes: usize) {
        self.received.increment(payload_bytes as u64);
    }
}

fn calls(peer: &str, outcome: &'static str) -> Counter {
    counter!(names::LINK_CALLS, "peer" => peer.to_owned(), "outcome" => outcome)
}

/// Counts the calls that this replica has accepted from `peer`.
pub(super) fn served(peer: &str) -> Counter {
    counter!(names::LINK_SERVED, "peer" => peer.to_owned())
}
