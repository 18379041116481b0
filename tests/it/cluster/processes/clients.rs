//! Clients that place orders and move them on by any replica, and write down what they asked and were
//! told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::history::{History, Kind};
use super::http::{Answer, Http};
use super::latencies::{Latencies, Sample};
use crate::support::acknowledged::Acknowledged;
use crate::support::bodies::{SKUS, next_step, order_of};
use crate::support::recorder::Recorder;
use crate::support::wait::until;

/// Clients at once.
const WORKERS: u64 = 6;
/// Orders that a client has under way at most.
const OPEN_MAX: usize = 6;
/// A client's pace: the tests look for what goes wrong, not for speed.
const PACE: Duration = Duration::from_millis(12);
const RETRY_EVERY: Duration = Duration::from_millis(50);
/// A client that may ask elsewhere does so after this long, under the same key: an owner that this
/// replica can't reach may be reached from another.
const PATIENCE: Duration = Duration::from_secs(2);
/// One that may not waits for longer than a router tries, and counts the answer as lost then.
const PATIENCE_STRICT: Duration = Duration::from_secs(12);
/// How long a client insists on an answer.
const INSIST: Duration = Duration::from_secs(40);

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
    addresses: Vec<String>,
    policy: Policy,
    pub told: Arc<Acknowledged>,
    pub history: Arc<History>,
    recorder: Option<Arc<Recorder>>,
    answered: AtomicU64,
    latencies: Latencies,
    failures: Mutex<Vec<String>>,
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
            answered: AtomicU64::new(0),
            latencies: Latencies::default(),
            failures: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for seed in 0..WORKERS {
            let worker = Worker {
                http: shared.addresses.iter().map(|to| Http::new(to)).collect(),
                shared: Arc::clone(&shared),
                random: StdRng::seed_from_u64(seed),
                open: Vec::new(),
                stop: stop.clone(),
            };
            workers.spawn(worker.run());
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

struct Worker {
    shared: Arc<Shared>,
    http: Vec<Http>,
    random: StdRng,
    open: Vec<Uuid>,
    stop: CancellationToken,
}

impl Worker {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            if self.open.is_empty() || (self.open.len() < OPEN_MAX && self.random.random_bool(0.3))
            {
                self.place().await;
            } else {
                let index = self.random.random_range(0..self.open.len());
                if self.work_on(self.open[index]).await {
                    self.open.swap_remove(index);
                }
            }
            // The pace of a client, not a wait.
            tokio::time::sleep(PACE).await;
        }
    }

    async fn place(&mut self) {
        let sku = SKUS[self.random.random_range(0..SKUS.len())];
        let body = order_of(sku, 1);
        let begun = self.shared.history.now();
        let Some(answer) = self.command("POST", "/api/v1/orders", &body).await else {
            // Without an answer nobody knows its id; the invariants look at it all the same.
            return;
        };
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = id_of(&answer);
        self.was_told(id, Kind::Write, begun, &answer);
        self.open.push(id);
        if let Some(recorder) = &self.shared.recorder {
            recorder.follow(id).await;
        }
    }

    /// Reads an order and takes its next step; whether it is at its end.
    async fn work_on(&mut self, id: Uuid) -> bool {
        let Some(status) = self.read(id).await else {
            return false;
        };
        let Some(next) = next_step(&status) else {
            return status != "PENDING";
        };
        let begun = self.shared.history.now();
        let path = format!("/api/v1/orders/{id}/status");
        let Some(answer) = self.command("PUT", &path, &json!({"status": next})).await else {
            // It may have happened, so this client leaves the order alone.
            self.shared.history.lost(id, begun);
            return true;
        };
        // Only this client moves the order, and only by steps that are legal from what it read: a
        // refusal would be a retry that was taken for a second command, or a stale read.
        assert_eq!(answer.status, 200, "{id} to {next}: {answer:?}");
        self.was_told(id, Kind::Write, begun, &answer);
        self.read(id).await;
        false
    }

    async fn read(&mut self, id: Uuid) -> Option<String> {
        let begun = self.shared.history.now();
        let path = format!("/api/v1/orders/{id}");
        let answer = match self.attempt("GET", &path, None, None).await {
            Ok(answer) => answer,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        match answer.status {
            200 => {
                self.was_told(id, Kind::Read, begun, &answer);
                answer.body["status"].as_str().map(str::to_owned)
            }
            503 => {
                self.failed(&format!("{path}: {answer:?}"));
                None
            }
            _ => panic!("{path}: {answer:?}"),
        }
    }

    /// Sends a command under a key of its own as the policy says.
    async fn command(&mut self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let key = Uuid::new_v4().to_string();
        let start = Instant::now();
        loop {
            let sent = self.attempt(method, path, Some(&key), Some(body)).await;
            let failure = match sent {
                Ok(answer) if answer.status != 503 => {
                    self.shared.latencies.note(start.elapsed());
                    self.shared.answered.fetch_add(1, Ordering::Relaxed);
                    return Some(answer);
                }
                Ok(answer) => format!("{method} {path}: {answer:?}"),
                Err(error) => error,
            };
            if self.shared.policy == Policy::Strict {
                self.failed(&failure);
                return None;
            }
            assert!(
                start.elapsed() < INSIST,
                "{path} was not answered within {INSIST:?}: {failure}"
            );
            // Sooner than the server asks for, to be there when it comes back.
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn attempt(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let which = self.random.random_range(0..self.http.len());
        let http = &mut self.http[which];
        let patience = match self.shared.policy {
            Policy::Insist => PATIENCE,
            Policy::Strict => PATIENCE_STRICT,
        };
        let sent = tokio::time::timeout(patience, http.send(method, path, key, body)).await;
        sent.unwrap_or_else(|_| Err(format!("{method} {path}: no answer within {patience:?}")))
    }

    fn failed(&self, failure: &str) {
        if self.shared.policy == Policy::Strict {
            lock(&self.shared.failures).push(failure.to_owned());
        }
    }

    fn was_told(&self, id: Uuid, kind: Kind, begun: Duration, answer: &Answer) {
        let version = answer.body["version"].as_u64().expect("a view's version");
        let version = u32::try_from(version).expect("a small version");
        self.shared.history.told(id, kind, begun, version);
        self.shared.told.note_view(&answer.body);
    }
}

fn id_of(answer: &Answer) -> Uuid {
    let id = answer.body["id"].as_str().expect("a view's id");
    id.parse().expect("a UUID")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
