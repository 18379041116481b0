//! A rising count that tasks can wait on. Like tokio's `watch`, but tasks wake in the order in which they
//! began to wait. `watch` takes that order from the runtime's random source, and a seeded simulation
//! could then not be repeated.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use thiserror::Error;
use tokio::sync::Notify;

/// The [`Changes`] has been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there will be no more changes")]
pub struct Closed;

/// The sending side. Dropping it ends all waits with [`Closed`].
#[derive(Debug, Default)]
pub struct Changes(Arc<Inner>);

/// The receiving side.
#[derive(Clone, Debug)]
pub struct ChangeReceiver {
    inner: Arc<Inner>,
    seen: u64,
}

#[derive(Debug, Default)]
struct Inner {
    count: AtomicU64,
    is_closed: AtomicBool,
    risen: Notify,
}

impl Changes {
    /// Tells all receivers that something has changed.
    pub fn tell(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.risen.notify_waiters();
    }

    /// A receiver that sees the changes from now on.
    pub fn subscribe(&self) -> ChangeReceiver {
        ChangeReceiver {
            inner: Arc::clone(&self.0),
            seen: self.0.count.load(Ordering::SeqCst),
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.risen.notify_waiters();
    }
}

impl ChangeReceiver {
    /// Counts all changes so far as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.inner.count.load(Ordering::SeqCst);
    }

    /// Whether there is a change that was not seen.
    pub fn has_changed(&self) -> bool {
        self.inner.count.load(Ordering::SeqCst) != self.seen
    }

    /// Returns the count, and counts all changes so far as seen.
    pub fn borrow_and_update(&mut self) -> u64 {
        self.mark_unchanged();
        self.seen
    }

    /// Returns once there is an unseen change, and counts it as seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let mut risen = pin!(self.inner.risen.notified());
            // Registers before looking at the count, so that no change is missed in between.
            risen.as_mut().enable();
            let now = self.inner.count.load(Ordering::SeqCst);
            if now != self.seen {
                self.seen = now;
                return Ok(());
            }
            if self.inner.is_closed.load(Ordering::SeqCst) {
                return Err(Closed);
            }
            risen.await;
        }
    }

    /// Returns once `is_so` holds for the count. Checks now and after every change.
    pub async fn wait_for(&mut self, mut is_so: impl FnMut(&u64) -> bool) -> Result<(), Closed> {
        loop {
            let now = self.borrow_and_update();
            if is_so(&now) {
                return Ok(());
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_missed_and_the_end_is_told() {
        let changes = Changes::default();
        let mut watcher = changes.subscribe();
        changes.tell();
        changes.tell();
        assert_eq!(watcher.changed().await, Ok(()), "told before it waited");
        let waiting = tokio::spawn(async move {
            let first = watcher.changed().await;
            (first, watcher.changed().await)
        });
        tokio::task::yield_now().await;
        changes.tell();
        tokio::task::yield_now().await;
        drop(changes);
        assert_eq!(waiting.await.expect("no panic"), (Ok(()), Err(Closed)));
    }

    #[tokio::test]
    async fn a_wait_looks_first_and_after_every_change() {
        let changes = Changes::default();
        assert_eq!(
            changes.subscribe().wait_for(|count| *count == 0).await,
            Ok(())
        );
        let mut watcher = changes.subscribe();
        let waiting = tokio::spawn(async move { watcher.wait_for(|count| *count == 2).await });
        tokio::task::yield_now().await;
        changes.tell();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        changes.tell();
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
    }
}
