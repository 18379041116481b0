//! What is kept of every denial, every action of operations and every key: who, when, what, to what, and how it
//! ended. Entries go through a bounded queue, and are stored a second's worth at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use trackops_cluster::outage::causes;

use crate::model::access::AuditEntry;
use crate::ports::access::AccessStore;
use crate::ports::clock::Clock;
use crate::telemetry::names;
use crate::telemetry::repeated::RepeatedLog;

/// Entries of each kind, acts and denials, that wait to be stored; what comes on top is counted as lost.
const WAITING_MAX: usize = 1_024;

/// Different denials of one second. Beyond it they are counted together.
const KINDS_MAX: usize = 100;

/// How long entries are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// The longest that the store may take.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// The pause after a failure of the store.
const RETRY: Duration = Duration::from_secs(1);

/// What an entry says. Longer texts are cut: a path may be as long as a request's head.
const TEXT_CHARS_MAX: usize = 256;

/// Takes entries. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    queues: Option<Queues>,
    clock: Arc<dyn Clock>,
}

/// Denials have a queue of their own, so that nobody can push out what operations did.
#[derive(Clone)]
struct Queues {
    acts: mpsc::Sender<AuditEntry>,
    denials: mpsc::Sender<AuditEntry>,
}

impl AuditLog {
    /// Keeps nothing.
    pub fn none(clock: Arc<dyn Clock>) -> Self {
        let queues = None;
        Self { queues, clock }
    }

    /// Keeps entries in `store`. The task ends after `stop`, once what waits is stored.
    pub fn start(
        store: Arc<dyn AccessStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (acts, done) = mpsc::channel(WAITING_MAX);
        let (denials, denied) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(async move {
            tokio::join!(
                keep(&*store, done, usize::MAX, &stop),
                keep(&*store, denied, KINDS_MAX, &stop),
            );
        });
        let queues = Some(Queues { acts, denials });
        (Self { queues, clock }, task)
    }

    /// Notes what `who` did.
    pub fn act(&self, who: &str, action: &str, target: &str, outcome: &str) {
        if let Some(queues) = &self.queues {
            self.send(&queues.acts, [who, action, target, outcome]);
        }
    }

    /// Notes what `who` was denied.
    pub fn deny(&self, who: &str, action: &str, target: &str, outcome: &str) {
        if let Some(queues) = &self.queues {
            self.send(&queues.denials, [who, action, target, outcome]);
        }
    }

    fn send(&self, queue: &mpsc::Sender<AuditEntry>, texts: [&str; 4]) {
        let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect();
        let [who, action, target, outcome] = texts.map(cut);
        let entry = AuditEntry {
            at: self.clock.now(),
            who,
            action,
            target,
            outcome,
            count: 1,
        };
        if queue.try_send(entry).is_err() {
            metrics::counter!(names::AUDIT_LOST).increment(1);
        }
    }
}

/// Stores what comes, at most `kinds_max` different entries of a second.
async fn keep(
    store: &dyn AccessStore,
    mut entries: mpsc::Receiver<AuditEntry>,
    kinds_max: usize,
    stop: &CancellationToken,
) {
    let log = RepeatedLog::new();
    loop {
        let first = tokio::select! {
            biased;
            first = entries.recv() => first,
            () = stop.cancelled() => entries.try_recv().ok(),
        };
        let Some(first) = first else {
            return;
        };
        let gathered = gather(first, &mut entries, kinds_max, stop).await;
        store_all(store, &gathered, &log, stop).await;
    }
}

/// What comes within a second of `first`; the same again is counted.
async fn gather(
    first: AuditEntry,
    entries: &mut mpsc::Receiver<AuditEntry>,
    kinds_max: usize,
    stop: &CancellationToken,
) -> Vec<AuditEntry> {
    let end = Instant::now() + GATHER;
    let mut gathered = Gathered::of(kinds_max);
    gathered.add(first);
    while !stop.is_cancelled() {
        let next = stop.run_until_cancelled(timeout_at(end, entries.recv()));
        match next.await {
            Some(Ok(Some(entry))) => gathered.add(entry),
            _ => break,
        }
    }
    while let Ok(entry) = entries.try_recv() {
        gathered.add(entry);
    }
    let mut gathered: Vec<_> = gathered.kinds.into_values().collect();
    gathered.sort_by_key(|entry| entry.at);
    gathered
}

type Kind = (String, String, String, String);

/// The entries of a second, each kind once.
struct Gathered {
    kinds_max: usize,
    kinds: BTreeMap<Kind, AuditEntry>,
}

impl Gathered {
    fn of(kinds_max: usize) -> Self {
        let kinds = BTreeMap::new();
        Self { kinds_max, kinds }
    }

    fn add(&mut self, mut entry: AuditEntry) {
        let kind = |entry: &AuditEntry| {
            let AuditEntry {
                who,
                action,
                target,
                outcome,
                ..
            } = entry.clone();
            (who, action, target, outcome)
        };
        if self.kinds.len() >= self.kinds_max && !self.kinds.contains_key(&kind(&entry)) {
            for text in [&mut entry.who, &mut entry.action, &mut entry.target] {
                "(many)".clone_into(text);
            }
        }
        self.kinds
            .entry(kind(&entry))
            .and_modify(|known| known.count = known.count.saturating_add(1))
            .or_insert(entry);
    }
}

/// Stores the entries, however often it takes; at the stop it is tried once more. Entries whose store didn't answer may
/// be there twice.
async fn store_all(
    store: &dyn AccessStore,
    entries: &[AuditEntry],
    log: &RepeatedLog,
    stop: &CancellationToken,
) {
    loop {
        let is_last = stop.is_cancelled();
        let stored = timeout(STORE_LIMIT, store.append_audit(entries)).await;
        let error = match stored {
            Ok(Ok(())) => {
                if let Some(recovery) = log.recovered(Instant::now()) {
                    tracing::info!(failures = recovery.count, "audit entries are stored again");
                }
                return;
            }
            Ok(Err(error)) => causes(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        if let Some(repeats) = log.failed(Instant::now()) {
            tracing::warn!(
                error,
                count = repeats.count,
                "audit entries can't be stored"
            );
        }
        if is_last {
            metrics::counter!(names::AUDIT_LOST).increment(entries.len() as u64);
            return;
        }
        // A pause before the next try, cut short by the stop.
        let pause = sleep_until(Instant::now() + RETRY);
        let _ = stop.run_until_cancelled(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use trackops_domain::time::Timestamp;

    use super::*;

    fn entry(target: &str) -> AuditEntry {
        AuditEntry {
            at: Timestamp(1),
            who: "customer:ann".into(),
            action: "GET".into(),
            target: target.into(),
            outcome: "denied: not-theirs".into(),
            count: 1,
        }
    }

    #[test]
    fn the_same_again_is_counted_and_a_flood_is_bounded() {
        let mut gathered = Gathered::of(KINDS_MAX);
        for number in 0..3 * KINDS_MAX {
            gathered.add(entry(&format!("/{number}")));
            gathered.add(entry("/0"));
        }
        assert_eq!(gathered.kinds.len(), KINDS_MAX + 1);
        let all: u32 = gathered.kinds.values().map(|entry| entry.count).sum();
        assert_eq!(all as usize, 6 * KINDS_MAX);
    }
}
