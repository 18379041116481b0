//! What clients were told, by answers, reads, pushes and the cache: all of it has to be in the journal.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use super::check::Violation;

/// Versions and statuses by order.
type Seen = HashMap<Uuid, BTreeMap<u32, String>>;

/// The memory of all clients of a deployment.
#[derive(Default)]
pub struct Acknowledged {
    seen: Mutex<Seen>,
    violations: Mutex<Vec<Violation>>,
}

impl Acknowledged {
    /// Remembers a view as answered, read or pushed.
    pub fn note_view(&self, view: &Value) {
        let id = view["id"].as_str().and_then(|id| id.parse().ok());
        self.note(id, &view["version"], &view["status"]);
    }

    /// Remembers one version of an order.
    pub fn note(&self, id: Option<Uuid>, version: &Value, status: &Value) {
        let version = version.as_u64().and_then(|v| u32::try_from(v).ok());
        let (Some(id), Some(version), Some(status)) = (id, version, status.as_str()) else {
            self.violated(
                Invariant::DurableFirst,
                "a view without id, version or status",
            );
            return;
        };
        let before = lock(&self.seen)
            .entry(id)
            .or_default()
            .insert(version, status.into());
        if before.as_deref().is_some_and(|before| before != status) {
            let detail = format!("{id} was shown at version {version} as {before:?} and {status}");
            self.violated(Invariant::OneWriter, &detail);
        }
    }

    /// Notes a breach that a client saw by itself.
    pub fn violated(&self, invariant: Invariant, detail: &str) {
        lock(&self.violations).push(Violation::new(invariant, detail));
    }

    /// The highest version that anyone was told of.
    pub fn highest(&self, id: Uuid) -> Option<u32> {
        let seen = lock(&self.seen);
        seen.get(&id)?.last_key_value().map(|(version, _)| *version)
    }

    /// Everything that was told.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// The breaches that clients saw.
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.violations).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
