//! The purses of the callers that were here lately. Their number has a bound.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use trackops_domain::access::{Caller, Subject};

use super::address::Address;
use super::class::Class;
use super::purse::Purse;
use crate::config::rate::REFILL_US_MAX;
use crate::telemetry::names;

/// Purses of a replica, of some 400 bytes each. Beyond it the one that was used the longest ago is forgotten. It
/// takes so many addresses or callers to have a limit forgotten here, and the store still knows it.
const PURSES_MAX: u64 = 100_000;
/// A caller who was silent for so long has its whole burst, so nothing is lost with its purse.
const IDLE: Duration = Duration::from_micros(REFILL_US_MAX);

/// Who has a purse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody whose identity was proven. Two issuers may give one name to two people.
    Principal(Subject),
    /// Everybody at that address who isn't.
    Address(Address),
}

impl Who {
    /// Who `caller` is to limits: where nobody is known, the address counts.
    pub fn of(caller: Option<&Caller>, address: Address) -> Self {
        match caller.and_then(Caller::subject) {
            Some(subject) if !subject.issuer.is_empty() => Self::Principal(subject.clone()),
            _ => Self::Address(address),
        }
    }

    /// The name of the shared bucket. It is a hash: names of people are nobody's business there, and may be long.
    fn bucket(&self, class: Class, is_service: bool) -> String {
        let mut hash = Sha256::new();
        match self {
            Self::Principal(Subject { issuer, name }) => {
                // With its length, so that no two pairs are the same text.
                hash.update(format!("principal {} ", issuer.len()));
                hash.update(issuer.as_bytes());
                hash.update(name.as_bytes());
            }
            Self::Address(address) => hash.update(format!("address {address}")),
        }
        let hash = hash.finalize();
        let limits = if is_service { "services" } else { "people" };
        let mut bucket = format!("limit:{limits}:{}:", class.as_str());
        for byte in &hash[..16] {
            // Writing to a String has no way to fail.
            let _ = write!(bucket, "{byte:02x}");
        }
        bucket
    }
}

/// Whose purse, for which requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// For which requests.
    pub class: Class,
    /// By the limits of services: a service and a customer may have one name, and two limits.
    pub is_service: bool,
    /// Whose.
    pub who: Who,
}

/// A purse that requests share.
pub struct Entry {
    /// The purse; locked for a few instructions.
    pub purse: Mutex<Purse>,
    /// A draw has ended.
    pub changed: Notify,
    /// The name of the shared bucket.
    pub bucket: String,
}

/// See the module.
pub struct Table {
    purses: Cache<Key, Arc<Entry>>,
    gauge: Gauge,
}

impl Table {
    /// No purses.
    pub fn new() -> Self {
        Self::of(PURSES_MAX)
    }

    fn of(purses_max: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(purses_max)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE);
        Self {
            purses: cache.build(),
            gauge: metrics::gauge!(names::LIMIT_PURSES),
        }
    }

    /// The purse of `key`, a new one if it isn't there.
    pub fn entry(&self, key: &Key) -> Arc<Entry> {
        if let Some(entry) = self.purses.get(key) {
            return entry;
        }
        #[expect(clippy::cast_precision_loss, reason = "a hundred thousand at most")]
        self.gauge.set(self.purses.entry_count() as f64);
        self.purses.get_with_by_ref(key, || {
            Arc::new(Entry {
                purse: Mutex::default(),
                changed: Notify::new(),
                bucket: key.who.bucket(key.class, key.is_service),
            })
        })
    }

    /// The purse of `key`, if it is there.
    pub fn find(&self, key: &Key) -> Option<Arc<Entry>> {
        self.purses.get(key)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn principal(issuer: &str, name: &str) -> Who {
        Who::Principal(Subject {
            issuer: issuer.into(),
            name: name.into(),
        })
    }

    #[test]
    fn no_two_callers_share_a_bucket() {
        let all = [
            principal("a", "bc"),
            principal("ab", "c"),
            principal("key", "ann"),
            principal("https://id.example", "ann"),
            Who::Address(Address::V4(Ipv4Addr::LOCALHOST)),
            principal("address", "127.0.0.1"),
        ];
        let mut buckets: Vec<_> = all
            .iter()
            .map(|who| who.bucket(Class::Read, false))
            .collect();
        buckets.push(all[0].bucket(Class::Write, false));
        buckets.push(all[0].bucket(Class::Read, true));
        let count = buckets.len();
        buckets.sort();
        buckets.dedup();
        assert_eq!(buckets.len(), count);
        assert!(buckets.iter().all(|bucket| !bucket.contains("ann")));
    }

    #[test]
    fn the_longest_unused_go_first() {
        let table = Table::of(10);
        let key = |number: u32| Key {
            class: Class::Read,
            is_service: false,
            who: Who::Address(Address::V4(Ipv4Addr::from_bits(number))),
        };
        for number in 0..100 {
            table.entry(&key(0));
            table.entry(&key(number));
            table.purses.run_pending_tasks();
            assert!(table.purses.entry_count() <= 10);
        }
        assert!(table.find(&key(0)).is_some(), "it was used all the time");
        assert!(table.find(&key(99)).is_some());
        assert!(table.find(&key(50)).is_none());
    }
}
