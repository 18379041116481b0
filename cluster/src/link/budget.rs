//! A bound in bytes beside the bound in number, because message sizes differ by a factor of ten thousand.
//! Leaves the number to the queues.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that may be queued or in flight at one time.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Arc<Semaphore>,
    bytes_max: u32,
}

/// A message, with the permit for its bytes, which it holds until it leaves the queue.
#[derive(Debug)]
pub(super) struct Weighed {
    pub message: Bytes,
    _taken: OwnedSemaphorePermit,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        Self {
            left: Arc::new(Semaphore::new(bytes_max as usize)),
            bytes_max,
        }
    }

    /// Takes a permit for `bytes`; `None` if not enough is left.
    pub fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let left = Arc::clone(&self.left);
        left.try_acquire_many_owned(self.needed(bytes)).ok()
    }

    /// Waits for a permit for `bytes`, in the order of asking. `None` if there will never be one.
    pub async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let left = Arc::clone(&self.left);
        left.acquire_many_owned(self.needed(bytes)).await.ok()
    }

    /// Waits for a permit for `message`, and keeps it beside the message.
    pub async fn weigh(&self, message: Bytes) -> Option<Weighed> {
        let taken = self.take(message.len()).await?;
        Some(Weighed {
            message,
            _taken: taken,
        })
    }

    /// A message larger than the whole budget takes all of it, so it goes alone.
    fn needed(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_comes_back_and_the_largest_goes_alone() {
        let budget = Budget::new(100);
        let sixty = budget.weigh(Bytes::from(vec![0; 60])).await.expect("left");
        assert!(budget.try_take(41).is_none());
        let forty = budget.try_take(40);
        assert!(forty.is_some() && budget.try_take(1).is_none());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(1_000).await.is_some() }
        });
        drop((sixty, forty));
        assert!(waiting.await.expect("no panic"));
        assert!(budget.try_take(100).is_some());
    }
}
