//! The replica's own count of its lease: from before the renewal was sent, by the monotonic clock, less a
//! margin. It guards answers that need no write. Leaves renewing to [`crate::lease_keeper`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::changes::Changes;

/// Timings of a lease. The authority lets it live `length`; the replica trusts it for
/// `length - margin`, counted from before the renewal left.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTiming {
    /// The length as the authority counts it.
    pub length: Duration,
    /// The time between two renewals.
    pub renew_every: Duration,
    /// What the replica takes off its own count, because clocks tick at slightly different rates.
    pub margin: Duration,
}

impl LeaseTiming {
    /// The usual proportions for a lease of `length`: renewed after a bit over a quarter of it, with a
    /// margin of a fifteenth.
    pub fn of(length: Duration) -> Self {
        Self {
            length,
            renew_every: length * 4 / 15,
            margin: length / 15,
        }
    }
}

impl Default for LeaseTiming {
    fn default() -> Self {
        Self::of(Duration::from_millis(1500))
    }
}

/// A cheap, shared answer to "may I still speak for my shards?".
#[derive(Clone, Debug)]
pub struct Lease {
    origin: Instant,
    /// The lease holds until this many nanoseconds after `origin`; negative once it was given up.
    until: Arc<AtomicI64>,
    /// Told when the lease is given up, and when it holds again after it had run out.
    turns: Arc<Changes>,
}

/// A task that waits for the lease's end checks it at least this often, because a timer can't be set for
/// ever.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Lease {
    /// A lease that isn't held yet.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            until: Arc::new(AtomicI64::new(-1)),
            turns: Arc::default(),
        }
    }

    /// A lease that never ends, for a node that is alone by construction.
    pub fn unlimited() -> Self {
        let lease = Self::new();
        lease.until.store(i64::MAX, Ordering::Release);
        lease
    }

    /// Counts a renewal that was sent at `sent` and granted.
    pub fn renewed(&self, sent: Instant, timing: &LeaseTiming) {
        let until = sent + timing.length.saturating_sub(timing.margin);
        let nanos = until.saturating_duration_since(self.origin).as_nanos();
        let held = self.holds();
        self.until
            .fetch_max(i64::try_from(nanos).unwrap_or(i64::MAX), Ordering::AcqRel);
        if !held {
            self.turns.tell();
        }
    }

    /// Gives the lease up at once, for good: a replica comes back as a new incarnation with a new lease.
    pub fn end(&self) {
        self.until.store(-1, Ordering::Release);
        self.turns.tell();
    }

    /// How long ago it ran out; zero while it holds.
    pub fn over_for(&self) -> Duration {
        let now = i64::try_from(
            Instant::now()
                .saturating_duration_since(self.origin)
                .as_nanos(),
        )
        .unwrap_or(i64::MAX);
        let until = self.until.load(Ordering::Acquire).max(0);
        Duration::from_nanos(u64::try_from(now.saturating_sub(until)).unwrap_or(0))
    }

    /// Returns once the lease no longer holds if it `held`, or holds again if it didn't.
    pub async fn turned(&self, held: bool) {
        let mut turns = self.turns.subscribe();
        while self.holds() == held {
            let until = u64::try_from(self.until.load(Ordering::Acquire)).unwrap_or(0);
            let next = Instant::now() + LOOK_EVERY;
            // A renewal only moves the end later, so it is enough to check again at the old end.
            let end = self.origin.checked_add(Duration::from_nanos(until));
            let end = end.filter(|_| held).map_or(next, |end| end.min(next));
            tokio::select! {
                biased;
                told = turns.changed() => if told.is_err() { return },
                () = sleep_until(end) => {}
            }
        }
    }

    /// Whether this replica may answer from memory now.
    pub fn holds(&self) -> bool {
        let now = Instant::now()
            .saturating_duration_since(self.origin)
            .as_nanos();
        i64::try_from(now).is_ok_and(|now| now < self.until.load(Ordering::Acquire))
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_of_its_end_and_of_its_return() {
        let (lease, timing) = (Lease::new(), LeaseTiming::default());
        let length = timing.length.saturating_sub(timing.margin);
        let began = Instant::now();
        lease.renewed(began, &timing);
        tokio::time::advance(Duration::from_secs(1)).await;
        let renewed = Instant::now();
        lease.renewed(renewed, &timing);
        lease.turned(true).await;
        assert!(!lease.holds());
        let late = Instant::now() - (renewed + length);
        assert!(late < Duration::from_millis(2), "{late:?}");

        let other = lease.clone();
        let back = tokio::spawn(async move { other.turned(false).await });
        tokio::task::yield_now().await;
        assert!(!back.is_finished());
        lease.renewed(Instant::now(), &timing);
        back.await.expect("no panic");
        let other = lease.clone();
        let over = tokio::spawn(async move { other.turned(true).await });
        tokio::task::yield_now().await;
        lease.end();
        over.await.expect("no panic");
        assert!(
            Instant::now() < renewed + 2 * timing.length,
            "told, not found"
        );
    }
}
