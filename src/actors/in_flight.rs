//! Counts the requests in flight on a shard, so that a hand-over can wait until there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The requests in flight on one shard: those that have found it open and are not done.
#[derive(Debug, Default)]
pub struct InFlightCount {
    count: AtomicU32,
    /// Whether a caller waits for the last one to end.
    awaited: AtomicBool,
    last: Notify,
}

/// One request in flight on a shard.
#[derive(Debug)]
pub struct InFlightGuard(Arc<InFlightCount>);

impl InFlightCount {
    /// Counts one more request. It must be taken before the shard's state is read: then either the reader
    /// sees that the shard is held, or the one that holds it sees this request.
    pub fn take(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::SeqCst);
        InFlightGuard(Arc::clone(self))
    }

    /// How many requests are in flight.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until none is in flight. For one caller at a time.
    pub async fn empty(&self) {
        self.awaited.store(true, Ordering::SeqCst);
        while self.count() > 0 {
            // The last request leaves its signal behind, so one that ends after the check isn't missed.
            self.last.notified().await;
        }
        self.awaited.store(false, Ordering::SeqCst);
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.awaited.load(Ordering::SeqCst)
        {
            self.0.last.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shard_is_empty_when_the_last_one_is_done() {
        let hands = Arc::new(InFlightCount::default());
        let (one, two) = (hands.take(), hands.take());
        let mut empty = std::pin::pin!(hands.empty());
        assert!(futures_util::poll!(empty.as_mut()).is_pending());
        drop(one);
        assert!(futures_util::poll!(empty.as_mut()).is_pending());
        drop(two);
        assert!(futures_util::poll!(empty.as_mut()).is_ready());
    }
}
