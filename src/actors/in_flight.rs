//! What is in hand of a shard is counted, so that whoever hands the shard over can wait until nothing is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// What is in hand of one shard: requests that have found it open and are not done with.
#[derive(Debug, Default)]
pub struct InFlightCount {
    count: AtomicU32,
    /// Somebody waits for the last one.
    awaited: AtomicBool,
    last: Notify,
}

/// One request in hand of a shard.
#[derive(Debug)]
pub struct InFlightGuard(Arc<InFlightCount>);

impl InFlightCount {
    /// One more. To be taken before the shard's standing is looked at: then either the look sees that
    /// the shard is held, or whoever holds it sees this.
    pub fn take(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::SeqCst);
        InFlightGuard(Arc::clone(self))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until there are none. For one caller at a time.
    pub async fn empty(&self) {
        self.awaited.store(true, Ordering::SeqCst);
        while self.count() > 0 {
            // The last one leaves its signal behind, so one that goes after the look isn't missed.
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
