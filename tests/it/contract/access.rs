//! The suite of [`trackops::ports::access::AccessStore`]. An adapter runs it by `access_suite!(name, Fixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trackops::model::access::{ApiKey, AuditEntry};
use trackops::ports::access::AccessStore;
use trackops::ports::retention::Mode;
use trackops::retention;
use trackops_domain::access::Role;
use trackops_domain::ids::{CourierId, CustomerId, ShopId};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::retention::ForgetfulOrders;
use super::support::{OrdersFixture, Owned};

/// Adapters that keep keys and audit.
pub trait AccessFixture: OrdersFixture {
    /// Those of the fixture's database.
    fn access(&self) -> Arc<dyn AccessStore>;
}

/// Runs the suite against `$fixture`.
macro_rules! access_suite {
    ($name:ident, $fixture:ty) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keys_are_kept_until_they_are_revoked() {
                $crate::contract::access::keys_are_kept_until_they_are_revoked::<$fixture>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_revision_rises_with_every_change() {
                $crate::contract::access::the_revision_rises_with_every_change::<$fixture>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn old_entries_go() {
                $crate::contract::access::old_entries_go::<$fixture>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn entries_are_listed_newest_first() {
                $crate::contract::access::entries_are_listed_newest_first::<$fixture>().await;
            }
        }
    };
}
pub(crate) use access_suite;

const NOW: Timestamp = Timestamp(1_700_000_000_123);

fn key(id: &str, role: Role) -> ApiKey {
    ApiKey {
        id: id.into(),
        name: "till-3".into(),
        role,
        salt: [7; 16],
        mac: [9; 32],
        created_at: NOW,
        created_by: "test".into(),
        expires_at: Some(Timestamp(NOW.0 + 1)),
        revoked_at: None,
    }
}

/// Every role with its scope comes back as it went.
pub async fn keys_are_kept_until_they_are_revoked<F: AccessFixture>() {
    let db = Owned::<F>::fresh().await;
    let store = db.fixture.access();
    let shops = ["north", "a\"b\\"].map(|name| ShopId::parse(name).unwrap());
    let keys = [
        key("a1", Role::Customer(CustomerId(Uuid::new_v4()))),
        key("a2", Role::Kitchen(shops.into())),
        key("a3", Role::Courier(CourierId::parse("c/1").unwrap())),
        key("a4", Role::Service),
        key("a5", Role::Operator),
        key("a6", Role::Viewer),
    ];
    for key in &keys {
        store.create_key(key).await.unwrap();
    }
    for key in &keys {
        assert_eq!(store.find_key(&key.id).await.unwrap().as_ref(), Some(key));
    }
    assert_eq!(store.find_key("a0").await.unwrap(), None);
    assert_eq!(store.list_keys("", 2).await.unwrap(), keys[..2]);
    assert_eq!(store.list_keys("a2", 9).await.unwrap(), keys[2..]);
    assert!(store.create_key(&keys[0]).await.is_err(), "the id is taken");

    let (at, later) = (Timestamp(NOW.0 + 5), Timestamp(NOW.0 + 6));
    assert!(store.revoke_key("a1", at).await.unwrap());
    assert!(store.revoke_key("a1", later).await.unwrap(), "again");
    let revoked = store.find_key("a1").await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at));
    assert!(!store.revoke_key("a0", at).await.unwrap());
}

/// So whoever has read the keys knows when to read them again.
pub async fn the_revision_rises_with_every_change<F: AccessFixture>() {
    let db = Owned::<F>::fresh().await;
    let store = db.fixture.access();
    let mut revisions = vec![store.revision().await.unwrap()];
    for id in ["a1", "a2"] {
        store.create_key(&key(id, Role::Viewer)).await.unwrap();
        revisions.push(store.revision().await.unwrap());
    }
    store.revoke_key("a1", NOW).await.unwrap();
    revisions.push(store.revision().await.unwrap());
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert_eq!(store.revision().await.unwrap(), revisions[3]);
}

/// With what else is old, by `trackops prune` and every day.
pub async fn old_entries_go<F: AccessFixture + ForgetfulOrders>() {
    let db = Owned::<F>::fresh().await;
    let (store, old) = (db.fixture.access(), db.fixture.retention());
    let entry = |at: i64| AuditEntry {
        at: Timestamp(at),
        who: "nobody".into(),
        action: "any".into(),
        target: "any".into(),
        outcome: "denied: credential".into(),
        count: 1,
    };
    let entries: Vec<_> = (0..5).map(|number| entry(NOW.0 + number)).collect();
    store.append_audit(&entries).await.unwrap();
    let (stop, before) = (CancellationToken::new(), Timestamp(NOW.0 + 3));
    let pruned = retention::prune(&*old, before, Mode::Count, &stop).await;
    assert_eq!(pruned.unwrap().get("audit"), Some(&3));
    let pruned = retention::prune(&*old, before, Mode::Remove, &stop).await;
    assert_eq!(pruned.unwrap().get("audit"), Some(&3));
    let left = store.list_audit(None, 9).await.unwrap();
    let left: Vec<i64> = left.iter().map(|(_, entry)| entry.at.0 - NOW.0).collect();
    assert_eq!(left, [4, 3]);
}

/// With their numbers, by which a page goes on.
pub async fn entries_are_listed_newest_first<F: AccessFixture>() {
    let db = Owned::<F>::fresh().await;
    let store = db.fixture.access();
    let entry = |number: i64| AuditEntry {
        at: Timestamp(NOW.0 + number),
        who: "operator:ops".into(),
        action: "POST".into(),
        target: format!("/admin/v1/{number}"),
        outcome: "done".into(),
        count: 3,
    };
    let entries: Vec<_> = (0..5).map(entry).collect();
    store.append_audit(&entries[..3]).await.unwrap();
    store.append_audit(&entries[3..]).await.unwrap();
    store.append_audit(&[]).await.unwrap();
    let page = store.list_audit(None, 2).await.unwrap();
    let shown: Vec<_> = page.iter().map(|(_, entry)| entry.clone()).collect();
    assert_eq!(shown, [entries[4].clone(), entries[3].clone()]);
    let rest = store.list_audit(Some(page[1].0), 9).await.unwrap();
    let shown: Vec<_> = rest.iter().map(|(_, entry)| entry.clone()).collect();
    let expected: Vec<_> = entries[..3].iter().rev().cloned().collect();
    assert_eq!(shown, expected);
}
