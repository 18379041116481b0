//! The calls that have been written and not yet answered. Leaves writing to [`super::pump`], and answers
//! to [`super::peer_connection`].

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::LinkError;

/// Where a call's answer goes.
pub(super) type Reply = oneshot::Sender<Result<Bytes, LinkError>>;

/// The calls that have been written and not yet answered. A call that isn't in here was never written,
/// and that tells `NotSent` from `Lost`.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<PendingCalls>);

#[derive(Debug, Default)]
struct PendingCalls {
    /// Looked up by id; walked only to fail all calls.
    replies: HashMap<u64, Reply>,
    ended: bool,
}

impl Waiting {
    /// Notes that the call is about to be written. Returns `false` if its caller no longer waits.
    pub fn enter(&self, id: u64, reply: Reply) -> bool {
        let mut calls = self.0.lock();
        // Checked under the lock: a caller that gives up first closes its receiver and then removes the
        // entry.
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
