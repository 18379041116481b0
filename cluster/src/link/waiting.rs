//! The calls that have been written and not yet answered. Leaves writing to [`super::pump`], and answers to
//! [`super::session`].

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::LinkError;

/// Where a call's answer goes.
pub(super) type Reply = oneshot::Sender<Result<Bytes, LinkError>>;

/// The calls that have been written and not yet answered. A call that isn't in here was never
/// written, which is how `NotSent` is told from `Lost`.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<PendingCalls>);

#[derive(Debug, Default)]
struct PendingCalls {
    /// Looked up by id only, never walked but to fail all.
    replies: HashMap<u64, Reply>,
    ended: bool,
}

impl Waiting {
    /// Notes that the call is about to be written. False if nobody waits for it any more.
    pub fn enter(&self, id: u64, reply: Reply) -> bool {
        let mut calls = self.0.lock();
        // Under the lock: a caller that gives up first drops its receiver and then comes for the entry.
        if calls.ended || reply.is_closed() {
            return false;
        }
        calls.replies.insert(id, reply);
        true
    }

    pub fn take(&self, id: u64) -> Option<Reply> {
        self.0.lock().replies.remove(&id)
    }

    pub fn end(&self) -> HashMap<u64, Reply> {
        let mut calls = self.0.lock();
        calls.ended = true;
        std::mem::take(&mut calls.replies)
    }
}
