//! The keys that were used lately, in memory, so that a request needs no database. A revision in the database
//! rises with every key that is made or revoked. While keys are in use it is read every second, and what is in
//! memory is forgotten when it has risen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use trackops_cluster::outage::causes;
use trackops_domain::access::Caller;
use trackops_domain::time::Timestamp;

use super::api_key::{self, Presented};
use super::proven::Proven;
use super::refusal::Refusal;
use crate::model::access::ApiKey;
use crate::ports::access::{AccessError, AccessStore};
use crate::ports::clock::Clock;
use crate::telemetry::repeated::RepeatedLog;

/// Keys in memory, known and unknown ones together; each has some 300 bytes.
const KEYS_MAX: u64 = 10_000;

/// How often the revision is read while the database answers at once. A revoked key goes on for so long, and for as
/// long as the answer takes.
const LOOK_EVERY: Duration = Duration::from_millis(750);

/// While no key has been used for so long the revision isn't read.
const IN_USE: Duration = Duration::from_secs(60);

/// How long keys in memory go on while the database is away.
const WITHOUT_STORE: Duration = Duration::from_secs(30);

/// The longest that a request waits for the database of keys.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// Lookups of keys that aren't in memory at the same time: as many as there are connections for them.
const LOOKUPS_MAX: usize = 2;

/// The longest that a request waits for its lookup to begin. Beyond it others flood, and it is better told to
/// come back than kept.
const SLOT_LIMIT: Duration = Duration::from_millis(500);

/// The keys that were used lately.
pub struct KeyCache {
    store: Arc<dyn AccessStore>,
    clock: Arc<dyn Clock>,
    keys: Cache<Box<str>, Option<Arc<Known>>>,
    lookups: Arc<Semaphore>,
    seen: Mutex<Seen>,
    /// The revision that was seen last.
    revision: watch::Sender<i64>,
    /// Counts the looks, also those that failed.
    looks: watch::Sender<u64>,
    used: Notify,
    /// Nobody looks until a key is used.
    is_parked: AtomicBool,
}

/// A key in memory.
struct Known {
    key: ApiKey,
    holder: Caller,
}

#[derive(Default)]
struct Seen {
    /// When the last look that went well began.
    looked: Option<Instant>,
    /// The last use of a key.
    used: Option<Instant>,
}

impl KeyCache {
    /// Nothing in memory yet. [`Self::keep_fresh`] has to run beside it.
    pub fn new(store: Arc<dyn AccessStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            keys: Cache::new(KEYS_MAX),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            seen: Mutex::default(),
            revision: watch::Sender::new(-1),
            looks: watch::Sender::new(0),
            used: Notify::new(),
            is_parked: AtomicBool::new(true),
        })
    }

    /// The time by which keys end.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The revision, whenever it rises.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    /// Whether the database has to be asked whose key `text` is.
    pub fn has_to_look_up(&self, text: &str) -> bool {
        Presented::parse(text).is_some_and(|presented| !self.keys.contains_key(presented.id))
    }

    /// Whose key `text` is.
    pub async fn identify(self: &Arc<Self>, text: &str) -> Result<Proven, Refusal> {
        let presented = Presented::parse(text).ok_or(Refusal::NoKey)?;
        let found = timeout(STORE_LIMIT, async {
            self.be_fresh().await;
            match self.keys.get(presented.id) {
                Some(known) => Ok(known),
                None => self.look_up(presented.id).await,
            }
        });
        let known = found.await.map_err(|_| Refusal::Unavailable)??;
        let known = known.ok_or(Refusal::Unknown)?;
        // What has ended has ended, however old the last look is.
        presented.check(&known.key, self.clock.now())?;
        if !self.looked_within(WITHOUT_STORE) {
            return Err(Refusal::Unavailable);
        }
        Ok(Proven {
            caller: known.holder.clone(),
            until: known.key.expires_at,
        })
    }

    /// Reads the revision while keys are in use, until `stop`.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let log = RepeatedLog::new();
        self.is_parked.store(false, Ordering::SeqCst);
        loop {
            self.look(&log).await;
            let next = async {
                // A permit that an earlier use has left wakes this at once.
                if self.is_in_use() {
                    let _ = timeout(LOOK_EVERY, std::future::pending::<()>()).await;
                } else {
                    self.is_parked.store(true, Ordering::SeqCst);
                    self.used.notified().await;
                    self.is_parked.store(false, Ordering::SeqCst);
                }
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    async fn look(&self, log: &RepeatedLog) {
        // Before the answer, not after: what it says may be older than its arrival.
        let asked_at = Instant::now();
        let answer = match timeout(STORE_LIMIT, self.store.revision()).await {
            Ok(Ok(revision)) => Ok(revision),
            Ok(Err(error)) => Err(causes(&error)),
            Err(_) => Err("no answer in time".into()),
        };
        match answer {
            Ok(revision) => {
                self.revision.send_if_modified(|known| {
                    let has_risen = *known != revision;
                    *known = revision;
                    if has_risen {
                        self.keys.invalidate_all();
                    }
                    has_risen
                });
                self.seen.lock().looked = Some(asked_at);
                if let Some(recovery) = log.recovered(Instant::now()) {
                    let (count, lasted) = (recovery.count, recovery.lasted.as_secs_f64());
                    tracing::info!(count, lasted, "the database of keys is back");
                }
            }
            Err(error) => {
                if let Some(repeats) = log.failed(Instant::now()) {
                    tracing::warn!(
                        error,
                        count = repeats.count,
                        "revoked keys can't be looked for"
                    );
                }
            }
        }
        self.looks.send_modify(|looks| *looks += 1);
    }

    /// Waits for a look if nobody has looked for a while. While the database is away looks go on and fail, and
    /// nobody waits for them.
    async fn be_fresh(&self) {
        let mut looks = self.looks.subscribe();
        self.seen.lock().used = Some(Instant::now());
        if self.is_parked.load(Ordering::SeqCst) {
            self.used.notify_one();
            let _ = looks.changed().await;
        }
    }

    /// Reads a key. The statement goes on if the caller has gone, so that a flood of calls that are given up costs
    /// no connections.
    async fn look_up(self: &Arc<Self>, id: &str) -> Result<Option<Arc<Known>>, Refusal> {
        let slot = timeout(SLOT_LIMIT, Arc::clone(&self.lookups).acquire_owned());
        let Ok(Ok(slot)) = slot.await else {
            return Err(Refusal::Unavailable);
        };
        if let Some(known) = self.keys.get(id) {
            return Ok(known);
        }
        let (cache, id) = (Arc::clone(self), Box::<str>::from(id));
        let reading = tokio::spawn(async move {
            let _slot = slot;
            let before = *cache.revision.borrow();
            let found = cache.store.find_key(&id).await?;
            let found = found.map(|key| {
                let holder = api_key::holder(&key);
                Arc::new(Known { key, holder })
            });
            // What was read before a revocation must not stay after it.
            cache.revision.send_if_modified(|now| {
                if *now == before {
                    cache.keys.insert(id, found.clone());
                }
                false
            });
            Ok::<_, AccessError>(found)
        });
        match reading.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::debug!(error = causes(&error), "a key can't be looked up");
                Err(Refusal::Unavailable)
            }
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    fn looked_within(&self, limit: Duration) -> bool {
        let looked = self.seen.lock().looked;
        looked.is_some_and(|at| at.elapsed() < limit)
    }

    fn is_in_use(&self) -> bool {
        let used = self.seen.lock().used;
        // A session that is open has a receiver, and wants to hear of its end.
        self.revision.receiver_count() > 0 || used.is_some_and(|at| at.elapsed() < IN_USE)
    }
}

#[cfg(test)]
#[path = "key_cache_tests.rs"]
mod tests;
