//! A bound in bytes beside one in number: messages differ in size by a factor of ten thousand.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes may wait, or be under way, at a time.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Arc<Semaphore>,
    bytes_max: u32,
}

/// A message and what it takes of a budget until it is taken out.
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

    /// Takes what `bytes` need; `None` if that isn't left.
    pub fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let left = Arc::clone(&self.left);
        left.try_acquire_many_owned(self.needed(bytes)).ok()
    }

    /// Waits until what `bytes` need is left, in the order of asking. `None` if it never will be.
    pub async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let left = Arc::clone(&self.left);
        left.acquire_many_owned(self.needed(bytes)).await.ok()
    }

    /// Waits, and then keeps what was taken beside `message`.
    pub async fn weigh(&self, message: Bytes) -> Option<Weighed> {
        let taken = self.take(message.len()).await?;
        Some(Weighed {
            message,
            _taken: taken,
        })
    }

    /// What is larger than the whole budget goes alone.
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
