//! A bounded load of clients that behave: they place orders and move them on, retry what was not
//! answered under the same key, and read back what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use super::acknowledged::Acknowledged;
use super::bodies::{SKUS, next_step, order_of};
use super::client::{Answer, Client};
use super::recorder::Recorder;

/// Clients at once.
const WORKERS: u64 = 6;
/// Orders that a client has under way at most.
const OPEN_MAX: usize = 8;
/// A client's pace: the tests look for what goes wrong, not for speed.
const PACE: Duration = Duration::from_millis(15);
const RETRY_EVERY: Duration = Duration::from_millis(60);
/// How long a client insists on an answer.
const INSIST: Duration = Duration::from_secs(45);

/// A running load.
pub struct Load {
    stop: CancellationToken,
    workers: JoinSet<()>,
    answered: Arc<AtomicU64>,
}

impl Load {
    /// Starts the clients. `told` learns everything that they are told.
    pub fn start(client: &Client, told: &Arc<Acknowledged>, recorder: &Arc<Recorder>) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::default());
        let mut workers = JoinSet::new();
        for seed in 0..WORKERS {
            let worker = Worker {
                client: client.clone(),
                told: Arc::clone(told),
                recorder: Arc::clone(recorder),
                random: StdRng::seed_from_u64(seed),
                open: Vec::new(),
                stop: stop.clone(),
                answered: Arc::clone(&answered),
            };
            workers.spawn(worker.run());
        }
        Self {
            stop,
            workers,
            answered,
        }
    }

    /// How many commands have been answered with success.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more commands have been answered.
    pub async fn more(&self, count: u64) {
        let wanted = self.answered() + count;
        super::wait::until("the load makes progress", || async {
            (self.answered() >= wanted).then_some(())
        })
        .await;
    }

    /// Lets every client finish what it has begun; fails if one of them found a fault.
    pub async fn finish(mut self) -> u64 {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.expect("a client found a fault");
        }
        self.answered()
    }
}

struct Worker {
    client: Client,
    told: Arc<Acknowledged>,
    recorder: Arc<Recorder>,
    random: StdRng,
    open: Vec<Uuid>,
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
}

impl Worker {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            if self.open.is_empty() || (self.open.len() < OPEN_MAX && self.random.random_bool(0.3))
            {
                self.place().await;
            } else {
                let index = self.random.random_range(0..self.open.len());
                if self.work_on(self.open[index]).await == Some(Worked::Ended) {
                    self.open.swap_remove(index);
                }
            }
            // The pace of a client, not a wait.
            tokio::time::sleep(PACE).await;
        }
    }

    async fn place(&mut self) {
        let sku = if self.random.random_bool(0.05) {
            "NOT-STOCKED"
        } else {
            SKUS[self.random.random_range(0..SKUS.len())]
        };
        let body = order_of(sku, self.random.random_range(1..4));
        let answer = if self.random.random_bool(0.5) {
            let key = Uuid::new_v4().to_string();
            self.insist(Method::POST, "/api/v1/orders", Some(&body), &key)
                .await
        } else {
            // Without a key a lost answer can't be asked for again.
            let url = format!("{}/api/v1/orders", self.client.to.order);
            let sent = self.client.send(Method::POST, &url, &[], Some(&body)).await;
            sent.ok().filter(|answer| answer.status == 201)
        };
        let Some(answer) = answer else { return };
        assert_eq!(answer.status, 201, "{answer:#?}");
        let id = self.was_told(&answer);
        self.open.push(id);
        self.recorder.follow(id).await;
    }

    /// Reads an order and takes a step that is legal from what it read.
    async fn work_on(&mut self, id: Uuid) -> Option<Worked> {
        let view = self.read(id).await?;
        let status = view.text("status").to_owned();
        if matches!(status.as_str(), "DELIVERED" | "REJECTED" | "CANCELLED") {
            return Some(Worked::Ended);
        }
        if status == "IN_TRANSIT" && self.random.random_bool(0.3) {
            // A position may be lost; it is neither journalled nor retried.
            let path = format!("{}/api/v1/orders/{id}/location", self.client.to.order);
            let body = json!({"lat": 52.5, "lon": 13.4});
            let _ = self.client.send(Method::PUT, &path, &[], Some(&body)).await;
        }
        let cancels = status != "IN_TRANSIT" && self.random.random_bool(0.12);
        let key = Uuid::new_v4().to_string();
        let answer = if cancels {
            let path = format!("/api/v1/orders/{id}/cancel");
            let body = json!({"reason": "changed my mind"});
            self.insist(Method::POST, &path, Some(&body), &key).await?
        } else {
            let next = next_step(&status)?;
            let path = format!("/api/v1/orders/{id}/status");
            let body = json!({"status": next});
            self.insist(Method::PUT, &path, Some(&body), &key).await?
        };
        // Only this client moves the order, and the saga's steps forbid none of these: but for a
        // cancellation that loses against a rejection.
        let lost = cancels && answer.text("currentStatus") == "REJECTED";
        if answer.status == 409 && !lost {
            let detail = format!(
                "{id}: a legal step from {status} was refused: {}",
                answer.body
            );
            self.told.violated(Invariant::Fresh, &detail);
            return Some(Worked::Ended);
        }
        if answer.status == 200 {
            self.was_told(&answer);
        } else {
            assert_eq!(answer.status, 409, "{answer:#?}");
        }
        self.read(id).await;
        Some(Worked::Moved)
    }

    /// I8: what is read is no older than what anyone was told before the read.
    async fn read(&self, id: Uuid) -> Option<Answer> {
        let told = self.told.highest(id).unwrap_or(0);
        let url = format!("{}/api/v1/orders/{id}", self.client.to.order);
        let answer = self.client.send(Method::GET, &url, &[], None).await.ok()?;
        match answer.status {
            // Cut off from the journal, an owner answers from what it has, and says how old that is.
            200 if !answer.header("age").is_empty() => return None,
            200 => {}
            404 => {
                let detail = format!("{id} was placed and is unknown");
                self.told.violated(Invariant::Fresh, &detail);
                return None;
            }
            503 => return None,
            _ => panic!("{answer:#?}"),
        }
        if answer.version() < told {
            let detail = format!("{id}: read {} after {told}", answer.version());
            self.told.violated(Invariant::Fresh, &detail);
        }
        self.told.note_view(&answer.body);
        Some(answer)
    }

    /// Sends a command under its key until it is answered for good.
    async fn insist(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: &str,
    ) -> Option<Answer> {
        let url = format!("{}{path}", self.client.to.order);
        let start = Instant::now();
        while start.elapsed() < INSIST {
            let headers = [("idempotency-key", key)];
            let sent = self.client.send(method.clone(), &url, &headers, body).await;
            match sent {
                Ok(answer) if answer.status != 503 => return Some(answer),
                Ok(answer) => assert!(!answer.header("retry-after").is_empty(), "{answer:#?}"),
                Err(_) => {}
            }
            // As the server asks for; sooner, to be there when it comes back.
            tokio::time::sleep(RETRY_EVERY).await;
        }
        panic!("{path} was not answered within {INSIST:?}");
    }

    fn was_told(&self, answer: &Answer) -> Uuid {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.told.note_view(&answer.body);
        answer.id()
    }
}

#[derive(PartialEq)]
enum Worked {
    Moved,
    Ended,
}
