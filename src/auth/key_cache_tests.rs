//! The cache of keys beside a store that can be away, on a clock that stands still unless it is moved.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use tokio::time::advance;
use trackops_domain::access::Role;
use trackops_domain::time::Timestamp;

use super::*;
use crate::auth::api_key::{self, NewKey};
use crate::model::access::AuditEntry;
use crate::ports::access::AccessError;
use crate::ports::clock::SystemClock;

#[derive(Default)]
struct Store {
    keys: Mutex<Vec<ApiKey>>,
    revision: Mutex<i64>,
    is_away: AtomicBool,
    lookups: AtomicUsize,
}

impl Store {
    fn check(&self) -> Result<(), AccessError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(AccessError::Unavailable("switched off".into()));
        }
        Ok(())
    }

    fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl AccessStore for Store {
    async fn create_key(&self, key: &ApiKey) -> Result<(), AccessError> {
        self.check()?;
        self.keys.lock().push(key.clone());
        *self.revision.lock() += 1;
        Ok(())
    }

    async fn find_key(&self, id: &str) -> Result<Option<ApiKey>, AccessError> {
        self.check()?;
        self.lookups.fetch_add(1, Ordering::SeqCst);
        Ok(self.keys.lock().iter().find(|key| key.id == id).cloned())
    }

    async fn list_keys(&self, _: &str, _: u32) -> Result<Vec<ApiKey>, AccessError> {
        Ok(self.keys.lock().clone())
    }

    async fn revoke_key(&self, id: &str, at: Timestamp) -> Result<bool, AccessError> {
        self.check()?;
        let mut keys = self.keys.lock();
        let found = keys.iter_mut().find(|key| key.id == id);
        *self.revision.lock() += 1;
        Ok(found.map(|key| key.revoked_at = Some(at)).is_some())
    }

    async fn revision(&self) -> Result<i64, AccessError> {
        self.check()?;
        Ok(*self.revision.lock())
    }

    async fn append_audit(&self, _: &[AuditEntry]) -> Result<(), AccessError> {
        self.check()
    }

    async fn list_audit(
        &self,
        _: Option<i64>,
        _: u32,
    ) -> Result<Vec<(i64, AuditEntry)>, AccessError> {
        Ok(Vec::new())
    }
}

struct Rig {
    store: Arc<Store>,
    cache: Arc<KeyCache>,
    id: String,
    text: String,
    _stop: tokio_util::sync::DropGuard,
}

impl Rig {
    async fn start() -> Self {
        let store = Arc::new(Store::default());
        let new = NewKey {
            name: "till".into(),
            role: Role::Service,
            created_by: "test".into(),
            expires_at: None,
        };
        let (key, text) = api_key::create(new, SystemClock.now());
        store.create_key(&key).await.expect("stored");
        let cache = KeyCache::new(Arc::clone(&store) as _, Arc::new(SystemClock));
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&cache).keep_fresh(stop.clone()));
        Self {
            store,
            cache,
            id: key.id,
            text: text.expose_secret().to_owned(),
            _stop: stop.drop_guard(),
        }
    }

    async fn ask(&self) -> Result<(), Refusal> {
        self.cache.identify(&self.text).await.map(drop)
    }

    /// Lets time pass, in steps in which the looks happen.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 4 {
            advance(Duration::from_millis(250)).await;
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_looked_up_once() {
    let rig = Rig::start().await;
    for _ in 0..10 {
        assert_eq!(rig.ask().await, Ok(()));
        rig.pass(1).await;
    }
    assert_eq!(rig.store.lookups(), 1);
    let unknown = rig.text.replace(&rig.id, "0123456789abcdef");
    for _ in 0..10 {
        let refused = rig.cache.identify(&unknown).await.map(drop);
        assert_eq!(refused, Err(Refusal::Unknown));
    }
    assert_eq!(rig.store.lookups(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_ends_within_two_seconds() {
    let rig = Rig::start().await;
    assert_eq!(rig.ask().await, Ok(()));
    let revoked = rig.store.revoke_key(&rig.id, SystemClock.now());
    assert!(revoked.await.expect("stored"));
    rig.pass(2).await;
    assert_eq!(rig.ask().await, Err(Refusal::Revoked));
}

/// Nobody looks while no key is in use, so the next use looks first.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_revoked_long_after_its_last_use_does_not_come_back() {
    let rig = Rig::start().await;
    assert_eq!(rig.ask().await, Ok(()));
    rig.pass(600).await;
    let revoked = rig.store.revoke_key(&rig.id, SystemClock.now());
    assert!(revoked.await.expect("stored"));
    assert_eq!(rig.ask().await, Err(Refusal::Revoked));
}

#[tokio::test(start_paused = true)]
async fn without_the_store_known_keys_go_on_for_half_a_minute() {
    let rig = Rig::start().await;
    assert_eq!(rig.ask().await, Ok(()));
    rig.store.set_away(true);
    for _ in 0..28 {
        rig.pass(1).await;
        assert_eq!(rig.ask().await, Ok(()));
    }
    rig.pass(3).await;
    assert_eq!(rig.ask().await, Err(Refusal::Unavailable));
    let unknown = rig.text.replace(&rig.id, "0123456789abcdef");
    let refused = rig.cache.identify(&unknown).await.map(drop);
    assert_eq!(refused, Err(Refusal::Unavailable), "never open");
    rig.store.set_away(false);
    rig.pass(3).await;
    assert_eq!(rig.ask().await, Ok(()));
}
