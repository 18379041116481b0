//! Clients that place orders and move them on by any replica, alone or against each other, and write
//! down what they asked and were told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::caller::{Caller, Step};
use super::history::History;
use super::latencies::{Latencies, Sample};
use crate::support::acknowledged::Acknowledged;
use crate::support::recorder::Recorder;
use crate::support::wait::until;

/// Clients that place orders and move them on.
const OWNERS: u64 = 4;
/// Clients that move on what others have placed.
const RIVALS: u64 = 2;
/// Clients that only read what several move on.
const READERS: u64 = 2;
/// Orders that a client has under way at most.
const OPEN_MAX: usize = 6;
/// Orders at once that several clients move on: few, so that they meet.
const COMMON_MAX: usize = 4;
/// A client's pace: the tests look for what goes wrong, not for speed.
const PACE: Duration = Duration::from_millis(12);

/// What a client does about a request that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Sends it again, by another address, under the same key, until it is answered.
    Insist,
    /// Notes it as a failure: nothing may fail.
    Strict,
}

/// What all clients of a test share.
pub struct Shared {
    /// Where they connect; each request goes to a random one.
    pub addresses: Vec<String>,
    pub policy: Policy,
    pub told: Arc<Acknowledged>,
    pub history: Arc<History>,
    recorder: Option<Arc<Recorder>>,
    /// The orders that several clients move on.
    common: Mutex<Vec<Uuid>>,
    answered: AtomicU64,
    latencies: Latencies,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    /// Counts an answer to a command that has waited for so long.
    pub fn was_answered(&self, waited: Duration) {
        self.latencies.note(waited);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what may not happen.
    pub fn failed(&self, failure: &str) {
        lock(&self.failures).push(failure.to_owned());
    }

    /// Lets others move this order on too, if there is room.
    fn share(&self, order: Uuid) -> bool {
        let mut common = lock(&self.common);
        let has_room = common.len() < COMMON_MAX;
        if has_room {
            common.push(order);
        }
        has_room
    }

    fn unshare(&self, order: Uuid) {
        lock(&self.common).retain(|other| *other != order);
    }
}

/// Clients at work.
pub struct Clients {
    pub shared: Arc<Shared>,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Clients {
    /// Starts them.
    pub fn start(
        addresses: Vec<String>,
        policy: Policy,
        told: &Arc<Acknowledged>,
        recorder: Option<&Arc<Recorder>>,
    ) -> Self {
        let shared = Arc::new(Shared {
            addresses,
            policy,
            told: Arc::clone(told),
            history: Arc::default(),
            recorder: recorder.cloned(),
            common: Mutex::default(),
            answered: AtomicU64::new(0),
            latencies: Latencies::default(),
            failures: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        let rivals = OWNERS..OWNERS + RIVALS;
        for seed in 0..OWNERS + RIVALS + READERS {
            let (caller, stop) = (Caller::new(&shared, seed), stop.clone());
            if seed < OWNERS {
                workers.spawn(own(caller, stop));
            } else {
                let steps = rivals.contains(&seed);
                workers.spawn(interfere(caller, steps, stop));
            }
        }
        Self {
            shared,
            stop,
            workers,
        }
    }

    /// Waits until so many more commands have been answered.
    pub async fn more(&self, count: u64) {
        let answered = || self.shared.answered.load(Ordering::Relaxed);
        let wanted = answered() + count;
        until("the clients make progress", || async {
            (answered() >= wanted).then_some(())
        })
        .await;
    }

    /// How long commands have waited for their answers, retries included, since the last call.
    pub fn waits(&self) -> Sample {
        self.shared.latencies.take()
    }

    /// Lets every client finish what it has begun; fails if one of them found a fault, or if a
    /// request of strict clients failed.
    pub async fn finish(mut self) -> Arc<Shared> {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.expect("a client found a fault");
        }
        let failures = lock(&self.shared.failures).clone();
        let answered = self.shared.answered.load(Ordering::Relaxed);
        assert!(
            failures.is_empty(),
            "{} requests failed beside {answered} commands that were answered, among them:\n{:#?}",
            failures.len(),
            &failures[..failures.len().min(10)]
        );
        self.shared
    }
}

/// An order that its client has under way.
#[derive(Clone, Copy)]
struct Open {
    order: Uuid,
    alone: bool,
}

/// Places orders and moves them on.
async fn own(mut caller: Caller, stop: CancellationToken) {
    let mut open: Vec<Open> = Vec::new();
    while !stop.is_cancelled() {
        let is_more = open.len() < OPEN_MAX && caller.random.random_bool(0.3);
        if open.is_empty() || is_more {
            if let Some(order) = caller.place().await {
                let alone = !caller.shared.share(order);
                open.push(Open { order, alone });
                if let Some(recorder) = &caller.shared.recorder {
                    recorder.follow(order).await;
                }
            }
        } else {
            let index = caller.random.random_range(0..open.len());
            if work_on(&mut caller, open[index]).await {
                open.swap_remove(index);
            }
        }
        // The pace of a client, not a wait.
        tokio::time::sleep(PACE).await;
    }
}

/// Reads what several move on, and moves it on if it `steps`.
async fn interfere(mut caller: Caller, steps: bool, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let common = lock(&caller.shared.common).clone();
        if !common.is_empty() {
            let order = common[caller.random.random_range(0..common.len())];
            let alone = false;
            if steps {
                work_on(&mut caller, Open { order, alone }).await;
            } else {
                caller.read(order).await;
            }
        }
        // The pace of a client, not a wait.
        tokio::time::sleep(PACE).await;
    }
}

/// Reads an order and takes its next step; whether it is at its end.
async fn work_on(caller: &mut Caller, Open { order, alone }: Open) -> bool {
    let Some(from) = caller.read(order).await else {
        return false;
    };
    let Some(next) = from.next() else {
        if from.is_final() {
            caller.shared.unshare(order);
        }
        return from.is_final();
    };
    let matched = caller.random.random_bool(0.7);
    let step = Step {
        order,
        from,
        matched,
        alone,
    };
    if !caller.step(&step, next).await {
        // It may have happened, so this client leaves the order alone.
        return true;
    }
    caller.read(order).await;
    false
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
