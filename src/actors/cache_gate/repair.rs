//! The circuit breaker of the cache and the repair that closes it. The repair probes the cache until it
//! answers, then raises the generations of the shards whose entries nobody may read meanwhile. It runs only
//! while there is something to repair.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use trackops_cluster::ShardId;
use trackops_cluster::backoff::Backoff;

use super::gate::CacheGate;

/// The outcome of one step.
enum Step {
    Done,
    Pause(Duration),
}

impl CacheGate {
    /// Whether the breaker is open: the cache is not asked.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Believes nothing any more if the cache has got another connection.
    pub(super) fn check_session(&self) {
        if self.generations.note_session(|| self.cache.session()) {
            tracing::info!(
                "another connection to the cache: its entries are not read until raised"
            );
            self.repair();
        }
    }

    /// The cache failed: opens the breaker, which stays open until a probe succeeds.
    pub(super) fn trip(&self, why: &str) {
        self.failures.fetch_add(1, Ordering::SeqCst);
        if !self.open.swap(true, Ordering::SeqCst) {
            tracing::warn!(why, "going on without the cache");
        }
        self.repair();
    }

    /// Starts the repair, unless it is already running.
    pub(super) fn repair(&self) {
        if !self.repairing.swap(true, Ordering::SeqCst) {
            tokio::spawn(run(Weak::clone(&self.itself)));
        }
    }

    fn needs_repair(&self) -> bool {
        self.open.load(Ordering::SeqCst) || self.generations.any_distrusted()
    }

    async fn step(&self) -> Step {
        if self.open.load(Ordering::SeqCst) {
            let probe = timeout(self.settings.write_limit, self.cache.ping());
            if !matches!(probe.await, Ok(Ok(()))) {
                self.failures.fetch_add(1, Ordering::SeqCst);
                return Step::Pause(self.pause());
            }
            // Before anybody reads again, because the connection may be a new one.
            self.check_session();
            self.open.store(false, Ordering::SeqCst);
            tracing::info!("the cache answers again");
        }
        let asked = self.generations.distrusted();
        if asked.is_empty() {
            return Step::Done;
        }
        let shards: Vec<ShardId> = asked.iter().map(|(shard, _)| *shard).collect();
        let raise = timeout(self.settings.raise_limit, self.raiser.raise(&shards));
        match raise.await {
            Ok(Ok(raised)) => {
                self.generations.raised(&asked, &raised);
                if !self.generations.any_distrusted() {
                    return Step::Done;
                }
            }
            Ok(Err(error)) => tracing::warn!(error, "cache generations could not be raised"),
            Err(_) => tracing::warn!("raising cache generations took too long"),
        }
        Step::Pause(self.pause())
    }

    /// The pause after the failures so far. Each failure doubles it. Up to a quarter is taken off, so that
    /// replicas that lost the cache together don't come back together.
    fn pause(&self) -> Duration {
        let settings = &self.settings;
        let full = Backoff::exact(settings.repair_base, settings.repair_cap)
            .after(self.failures.load(Ordering::SeqCst));
        full.mul_f64(1.0 - (settings.jitter)() / 4.0)
    }
}

async fn run(gate: Weak<CacheGate>) {
    let mut running = Running(gate);
    // The cache failed a moment ago, so a probe waits. Raising alone begins at once.
    let mut pause = running
        .gate()
        .filter(|gate| gate.open.load(Ordering::SeqCst))
        .map(|gate| gate.pause());
    loop {
        if let Some(pause) = pause {
            sleep(pause).await;
        }
        let Some(gate) = running.gate() else {
            return;
        };
        match gate.step().await {
            Step::Pause(next) => pause = Some(next),
            Step::Done => {
                running.end(&gate);
                return;
            }
        }
    }
}

/// Clears the mark that the repair is running when the task ends, even by a panic.
struct Running(Weak<CacheGate>);

impl Running {
    fn gate(&self) -> Option<Arc<CacheGate>> {
        self.0.upgrade()
    }

    /// Ends the repair. Starts it again if a new need arose while the task was still marked as running.
    fn end(&mut self, gate: &CacheGate) {
        self.0 = Weak::new();
        gate.repairing.store(false, Ordering::SeqCst);
        if gate.needs_repair() {
            gate.repair();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(gate) = self.gate() {
            gate.repairing.store(false, Ordering::SeqCst);
        }
    }
}
