//! One client's requests: sent as the policy says, written down with what was told, and refused only
//! where somebody else may be the reason.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::clients::{Policy, Shared};
use super::history::Kind;
use super::http::{Answer, Ask, Http};
use crate::support::bodies::{SKUS, next_step, order_of};

const RETRY_EVERY: Duration = Duration::from_millis(50);
/// A client that may ask elsewhere does so after this long, under the same key: an owner that this
/// replica can't reach may be reached from another.
const PATIENCE: Duration = Duration::from_secs(2);
/// One that may not waits for longer than a router tries, and counts the answer as lost then.
const PATIENCE_STRICT: Duration = Duration::from_secs(12);
/// How long a client insists on an answer.
const INSIST: Duration = Duration::from_secs(40);

/// What a client has read of an order.
pub struct Seen {
    pub version: u32,
    pub status: String,
}

impl Seen {
    /// The step that a client takes from here, if there is one.
    pub fn next(&self) -> Option<&'static str> {
        next_step(&self.status)
    }

    /// No client has anything left to do.
    pub fn is_final(&self) -> bool {
        self.next().is_none() && self.status != "PENDING"
    }
}

/// A step that a client takes.
pub struct Step {
    pub order: Uuid,
    /// What it has read.
    pub from: Seen,
    /// Only from the version that it has read.
    pub matched: bool,
    /// Nobody else moves the order.
    pub alone: bool,
}

/// A client's way to the replicas.
pub struct Caller {
    pub shared: Arc<Shared>,
    pub random: StdRng,
    http: Vec<Http>,
}

impl Caller {
    /// With connections of its own.
    pub fn new(shared: &Arc<Shared>, seed: u64) -> Self {
        Self {
            http: shared.addresses.iter().map(|to| Http::new(to)).collect(),
            shared: Arc::clone(shared),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Places an order; `None` if there was no answer: then nobody knows its id, and the invariants look
    /// at it all the same.
    pub async fn place(&mut self) -> Option<Uuid> {
        let sku = SKUS[self.random.random_range(0..SKUS.len())];
        let body = order_of(sku, 1);
        let begun = self.shared.history.now();
        let ask = Ask {
            method: "POST",
            path: "/api/v1/orders",
            body: Some(&body),
            ..Ask::default()
        };
        let answer = self.command(ask).await?;
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.body["id"].as_str().expect("a view's id");
        let id = id.parse().expect("a UUID");
        self.was_shown(id, Kind::Write, begun, &answer);
        Some(id)
    }

    /// Reads an order; `None` if there was no answer.
    pub async fn read(&mut self, id: Uuid) -> Option<Seen> {
        let begun = self.shared.history.now();
        let path = format!("/api/v1/orders/{id}");
        let answer = match self.attempt(Ask::get(&path)).await {
            Ok(answer) => answer,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        match answer.status {
            200 => {
                let version = self.was_shown(id, Kind::Read, begun, &answer);
                let status = answer.body["status"].as_str().expect("a view's status");
                let status = status.to_owned();
                Some(Seen { version, status })
            }
            503 => {
                self.failed(&format!("{path}: {answer:?}"));
                None
            }
            _ => panic!("{path}: {answer:?}"),
        }
    }

    /// Takes a step; `false` if there was no answer: it may have happened.
    pub async fn step(&mut self, step: &Step, to: &str) -> bool {
        let (id, from) = (step.order, step.from.version);
        let begun = self.shared.history.now();
        let (path, body) = (format!("/api/v1/orders/{id}/status"), json!({"status": to}));
        let ask = Ask {
            method: "PUT",
            path: &path,
            body: Some(&body),
            if_match: step.matched.then_some(from),
            ..Ask::default()
        };
        let Some(answer) = self.command(ask).await else {
            self.shared.history.lost(id, begun);
            return false;
        };
        if answer.status == 200 {
            // Whoever steps without a condition may find the step taken, which is a success too.
            let made = step.matched || step.alone;
            let kind = if made { Kind::Write } else { Kind::Step };
            let version = self.was_shown(id, kind, begun, &answer);
            assert_eq!(version, from + 1, "{id} to {to}: {answer:?}");
            return true;
        }
        // Legal from what was read: refused, it is one that was taken for a second command, or the read
        // was stale; unless somebody else was faster, which the history has to show.
        let refused = if step.matched { 412 } else { 409 };
        let is_sound = !step.alone && answer.status == refused;
        assert!(is_sound, "{id} to {to} from {from}: {answer:?}");
        let version = if step.matched {
            answer.version.expect("the tag of the version that it has")
        } else {
            let status = answer.body["currentStatus"].as_str();
            version_of(status.expect("where it stands"))
        };
        let kind = Kind::Refused { from };
        self.shared.history.told(id, kind, begun, version);
        true
    }

    /// Sends a command under a key of its own as the policy says.
    async fn command(&mut self, ask: Ask<'_>) -> Option<Answer> {
        let key = Uuid::new_v4().to_string();
        let ask = Ask {
            key: Some(&key),
            ..ask
        };
        let start = Instant::now();
        loop {
            let failure = match self.attempt(ask).await {
                Ok(answer) if answer.status != 503 => {
                    self.shared.was_answered(start.elapsed());
                    return Some(answer);
                }
                Ok(answer) => format!("{ask:?}: {answer:?}"),
                Err(error) => error,
            };
            if self.shared.policy == Policy::Strict {
                self.failed(&failure);
                return None;
            }
            assert!(
                start.elapsed() < INSIST,
                "{ask:?} was not answered within {INSIST:?}: {failure}"
            );
            // Sooner than the server asks for, to be there when it comes back.
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn attempt(&mut self, ask: Ask<'_>) -> Result<Answer, String> {
        let which = self.random.random_range(0..self.http.len());
        let patience = match self.shared.policy {
            Policy::Insist => PATIENCE,
            Policy::Strict => PATIENCE_STRICT,
        };
        let sent = tokio::time::timeout(patience, self.http[which].send(ask)).await;
        sent.unwrap_or_else(|_| Err(format!("{ask:?}: no answer within {patience:?}")))
    }

    fn failed(&self, failure: &str) {
        if self.shared.policy == Policy::Strict {
            self.shared.failed(failure);
        }
    }

    /// Writes down a view; gives its version.
    fn was_shown(&self, id: Uuid, kind: Kind, begun: Duration, answer: &Answer) -> u32 {
        let version = answer.body["version"].as_u64().expect("a view's version");
        let version = u32::try_from(version).expect("a small version");
        self.shared.history.told(id, kind, begun, version);
        self.shared.told.note_view(&answer.body);
        version
    }
}

/// The version at which an order comes to a status by steps: nobody here cancels one.
fn version_of(status: &str) -> u32 {
    match status {
        "PREPARING" => 3,
        "IN_TRANSIT" => 4,
        "DELIVERED" => 5,
        _ => panic!("{status} is none that a step leads to"),
    }
}
