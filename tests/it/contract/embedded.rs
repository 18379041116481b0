//! The embedded adapters on a real file: the ports' contracts, and what only they have.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::Connection as _;
use trackops::embedded::{Embedded, OpenError};
use trackops::model::outbox_row::RowId;
use trackops::ports::access::AccessStore;
use trackops::ports::bus::{Bus, Consumer, OutMessage, Polled, Subscription};
use trackops::ports::clock::SystemClock;
use trackops::ports::groups::Groups;
use trackops::ports::journal::{AppendError, Journal, RowOutcome};
use trackops::ports::outbox::Outbox;
use trackops::ports::retention::Retention;
use trackops::ports::sagas::Sagas;
use trackops::ports::stock::StockStore;
use trackops_cluster::ShardId;
use trackops_cluster::membership::{Membership, MembershipError, NodeId};
use trackops_domain::event::Change;
use trackops_domain::ids::Version;
use uuid::Uuid;

use crate::contract::access::{AccessFixture, access_suite};
use crate::contract::bus::BusFixture;
use crate::contract::groups::GroupsFixture;
use crate::contract::journal::journal_suite;
use crate::contract::membership::ownership_suite;
use crate::contract::outbox::outbox_suite;
use crate::contract::retention::{ForgetfulOrders, ForgetfulStock, retention_suite};
use crate::contract::sagas::{SagasFixture, sagas_suite};
use crate::contract::stock::{StockFixture, stock_suite};
use crate::contract::support::{
    LEASE, OrdersFixture, Owned, ShardsFixture, StoredFixture, changed, new_orders, seen, seen_of,
};

/// A store in a directory of its own, which goes with it.
pub struct Store {
    store: Embedded,
    dir: Directory,
}

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("trackops-it-{}", Uuid::now_v7().simple())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that was never made is as good as removed.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Arc::new(SystemClock)).await.unwrap()
}

impl Store {
    async fn new() -> Self {
        let dir = Directory::new();
        let store = open(&dir.0).await;
        Self { store, dir }
    }

    /// What an end of the process and a new start would do, but for the page cache.
    async fn restart(mut self) -> Self {
        self.store.close().await;
        self.store = open(&self.dir.0).await;
        self
    }
}

#[async_trait]
impl ShardsFixture for Store {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn journal(&self) -> Arc<dyn Journal> {
        self.store.journal()
    }

    fn membership(&self) -> Arc<dyn Membership> {
        self.store.membership()
    }
}

impl SagasFixture for Store {
    fn sagas(&self) -> Arc<dyn Sagas> {
        self.store.sagas()
    }
}

impl AccessFixture for Store {
    fn access(&self) -> Arc<dyn AccessStore> {
        self.store.access()
    }
}

impl OrdersFixture for Store {
    fn outbox(&self) -> Arc<dyn Outbox> {
        self.store.orders_outbox()
    }
}

impl ForgetfulOrders for Store {
    fn retention(&self) -> Arc<dyn Retention> {
        let [orders, _] = self.store.retention();
        orders
    }
}

impl ForgetfulStock for Store {
    fn retention(&self) -> Arc<dyn Retention> {
        let [_, inventory] = self.store.retention();
        inventory
    }
}

#[async_trait]
impl StoredFixture for Store {
    async fn change(&self, table: &str, row: RowId, change: &str) {
        let file = format!("sqlite://{}", self.dir.0.join("trackops.db").display());
        let mut conn = sqlx::SqliteConnection::connect(&file).await.unwrap();
        let sql = format!("UPDATE {table} SET {change} WHERE seq = {}", row.seq);
        let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut conn)
            .await;
        assert_eq!(changed.unwrap().rows_affected(), 1);
        conn.close().await.unwrap();
    }
}

#[async_trait]
impl StockFixture for Store {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn stock(&self) -> Arc<dyn StockStore> {
        self.store.stock()
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        self.store.inventory_outbox()
    }
}

/// One process has one bus: another connection to it is another handle.
#[async_trait]
impl BusFixture for Store {
    async fn connect(&self) -> Arc<dyn Bus> {
        self.store.bus()
    }
}

#[async_trait]
impl GroupsFixture for Store {
    async fn groups(&self) -> Arc<dyn Groups> {
        self.store.groups()
    }
}

journal_suite!(journal, Store);
ownership_suite!(ownership, Store);
outbox_suite!(outbox, Store);
stock_suite!(stock, Store);
retention_suite!(retention, Store, Store);
sagas_suite!(sagas, Store);
access_suite!(access, Store);

mod bus {
    use super::Store;
    crate::bus_contract!(Store::new());
    crate::groups_contract!(Store::new());
}

#[tokio::test]
async fn a_reply_of_the_stock_wakes_the_relay() {
    crate::contract::stock::the_relay_is_woken::<Store>().await;
}

/// What the second of two processes on one directory sees.
#[tokio::test]
async fn a_directory_in_use_is_refused_by_name() {
    let first = Store::new().await;
    let second = Embedded::open(&first.dir.0, Arc::new(SystemClock)).await;
    let refused = second.unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
    let name = first.dir.0.display().to_string();
    assert!(refused.to_string().contains(&name), "{refused}");
    let again = first.restart().await;
    again.store.journal().ping().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = Directory::new();
    std::fs::write(&dir.0, "a file").unwrap();
    let refused = Embedded::open(&dir.0, Arc::new(SystemClock)).await;
    assert!(matches!(refused, Err(OpenError::Directory { .. })));
    std::fs::remove_file(&dir.0).unwrap();
}

#[tokio::test]
async fn data_of_a_newer_version_is_left_alone() {
    let dir = Directory::new();
    open(&dir.0).await.close().await;
    let file = format!("sqlite://{}", dir.0.join("trackops.db").display());
    let mut conn = sqlx::SqliteConnection::connect(&file).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    let refused = Embedded::open(&dir.0, Arc::new(SystemClock)).await;
    assert!(
        matches!(refused, Err(OpenError::Newer { found: 99, .. })),
        "{refused:?}"
    );
}

/// A new start finds everything, owes nothing to the leases of the last, and has higher epochs.
#[tokio::test]
async fn a_restart_keeps_everything_but_leases() {
    let db = Owned::<Store>::fresh().await;
    let placed = new_orders(3);
    let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    db.fixture.journal().append(&rows).await.unwrap();
    let lanes = db.fixture.store.orders_outbox().lease("old", LEASE).await;
    assert_eq!(lanes.unwrap().len(), 8);
    let epochs = db.epochs.clone();

    let store = db.fixture.restart().await;
    let lanes = store.store.orders_outbox().lease("new", LEASE).await;
    assert_eq!(lanes.unwrap().len(), 8);
    let membership = store.membership();
    let (node, all) = (NodeId("node-a".into()), seen(&*membership).await);
    let incarnation = membership.join(&node, "x:1", Duration::MAX).await.unwrap();
    let claimed = membership.claim(&node, incarnation, &all).await.unwrap();
    assert_eq!(claimed.len(), all.len());
    assert!(claimed.iter().all(|c| c.epoch > epochs[&c.shard]));
    // What the last process might still have had in hand comes too late.
    let confirmed = changed(&placed[0].0, Change::Confirmed);
    let mut row = rows[0].clone();
    row.expected = Some(Version::FIRST);
    row.event = Some(trackops::codec::stored::event_row(&confirmed.1));
    let outcome = store.journal().append(&[row]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Fenced]);
    let loaded = store.journal().load(&[placed[0].0.id]).await.unwrap();
    assert_eq!(loaded, [Some(placed[0].0.clone())]);
    let stats = store.store.orders_outbox().stats().await.unwrap();
    assert_eq!(stats.pending, 3);
}

/// A lease doesn't end by time; a life ends by leaving or by the next one.
#[tokio::test]
async fn a_life_ends_by_leaving_or_by_the_next() {
    let store = Store::new().await;
    let (membership, node) = (store.membership(), NodeId("n".into()));
    let no_time = Duration::ZERO;
    let first = membership.join(&node, "x:1", no_time).await.unwrap();
    membership.renew(&node, first, no_time).await.unwrap();
    let wanted = [seen_of(&*membership, ShardId(0)).await];
    let claimed = membership.claim(&node, first, &wanted).await.unwrap();
    let second = membership.join(&node, "x:1", no_time).await.unwrap();
    assert!(second > first);
    let renewed = membership.renew(&node, first, no_time).await;
    assert!(matches!(renewed, Err(MembershipError::Deposed)));
    let wanted = [seen_of(&*membership, ShardId(0)).await];
    let late = membership.claim(&node, first, &wanted).await;
    assert!(matches!(late, Err(MembershipError::Deposed)));
    let taken = membership.claim(&node, second, &wanted).await.unwrap();
    assert!(taken[0].epoch > claimed[0].epoch);
    membership.leave(&node, second).await.unwrap();
    let renewed = membership.renew(&node, second, no_time).await;
    assert!(matches!(renewed, Err(MembershipError::Deposed)));
}

/// Appends that share a transaction keep their own fate.
#[tokio::test]
async fn a_refused_append_takes_nobody_along() {
    let db = Owned::<Store>::fresh().await;
    let placed = new_orders(60);
    let mut rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    for row in rows.iter_mut().step_by(7) {
        // Refused by the last statement, when the order and its event are written already.
        row.outbox[0].payload = Bytes::from_static(b"{not json");
    }
    let journal = db.fixture.journal();
    let appends = rows
        .iter()
        .map(|row| journal.append(std::slice::from_ref(row)));
    let outcomes = futures_util::future::join_all(appends).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        if n % 7 == 0 {
            assert!(
                matches!(outcome, Err(AppendError::BadRow(_))),
                "{outcome:?}"
            );
        } else {
            assert_eq!(outcome.as_deref().unwrap(), [RowOutcome::Committed]);
        }
    }
    let ids: Vec<_> = placed.iter().map(|(order, _)| order.id).collect();
    let loaded = journal.load(&ids).await.unwrap();
    for (n, loaded) in loaded.iter().enumerate() {
        assert_eq!(loaded.is_some(), n % 7 != 0);
    }
}

fn message(topic: &Arc<str>, n: usize) -> OutMessage {
    OutMessage {
        topic: Arc::clone(topic),
        key: format!("key-{n}").into(),
        headers: vec![("ce_id", n.to_string())],
        payload: Bytes::from(n.to_string()),
    }
}

async fn join(bus: &dyn Bus, topic: &Arc<str>, member: &str) -> Box<dyn Consumer> {
    let subscription = Subscription {
        group: "g".into(),
        topics: vec![Arc::clone(topic)],
        member: member.into(),
    };
    bus.subscribe(subscription).await.unwrap()
}

/// Polls until `count` messages are there; returns the next offset of each partition.
async fn read(consumer: &mut dyn Consumer, count: usize) -> Vec<(Arc<str>, i32, i64)> {
    let mut next = std::collections::BTreeMap::new();
    let mut seen = 0;
    while seen < count {
        let polled = consumer.poll(1_000, Duration::from_secs(20)).await.unwrap();
        let Polled::Messages(messages) = polled else {
            panic!("{polled:?}");
        };
        assert!(!messages.is_empty(), "{seen} of {count} messages came");
        seen += messages.len();
        for message in messages {
            next.insert((message.topic, message.partition), message.offset + 1);
        }
    }
    assert_eq!(seen, count);
    next.into_iter()
        .map(|((t, p), next)| (t, p, next))
        .collect()
}

#[tokio::test]
async fn the_bus_goes_on_after_a_restart() {
    let store = Store::new().await;
    let (bus, topic) = (store.store.bus(), Arc::<str>::from("T"));
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    let messages = |range: std::ops::Range<usize>| range.map(|n| message(&topic, n)).collect();
    assert!(bus.publish(messages(0..50)).await.iter().all(Result::is_ok));
    let mut consumer = join(&*bus, &topic, "a").await;
    let next = read(&mut *consumer, 50).await;
    consumer.commit(&next).await.unwrap();
    assert!(
        bus.publish(messages(50..80))
            .await
            .iter()
            .all(Result::is_ok)
    );
    read(&mut *consumer, 30).await;
    drop(bus);

    // The consumer was never closed; its 30 uncommitted messages come again, and then new ones.
    let store = store.restart().await;
    let ended = consumer.poll(1, Duration::from_secs(20)).await;
    assert!(ended.is_err(), "a consumer of a closed store says so");
    let bus = store.store.bus();
    let missing = bus.missing_topics(&[Arc::clone(&topic)]).await;
    assert!(missing.unwrap().is_empty());
    let mut consumer = join(&*bus, &topic, "a").await;
    read(&mut *consumer, 30).await;
    assert!(
        bus.publish(messages(80..90))
            .await
            .iter()
            .all(Result::is_ok)
    );
    read(&mut *consumer, 10).await;
}

#[tokio::test]
async fn a_message_ends_the_wait_of_a_poll() {
    let store = Store::new().await;
    let (bus, topic) = (store.store.bus(), Arc::<str>::from("T"));
    let patience = Duration::from_secs(20);
    let mut consumer = join(&*bus, &topic, "a").await;
    let polling = tokio::spawn(async move { consumer.poll(10, patience * 2).await.unwrap() });
    tokio::task::yield_now().await;
    // It waits since before there was the topic.
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    tokio::task::yield_now().await;
    bus.publish(vec![message(&topic, 1)]).await;
    let polled = tokio::time::timeout(patience, polling).await;
    let polled = polled.expect("woken by the message").unwrap();
    assert!(matches!(polled, Polled::Messages(messages) if messages.len() == 1));
}

/// As with Kafka's static members: the newcomer goes on in place of the one before it.
#[tokio::test]
async fn a_member_of_the_same_name_takes_over() {
    let store = Store::new().await;
    let (bus, topic) = (store.store.bus(), Arc::<str>::from("T"));
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    let messages = (0..50).map(|n| message(&topic, n)).collect();
    assert!(bus.publish(messages).await.iter().all(Result::is_ok));
    let mut old = join(&*bus, &topic, "a").await;
    let next = read(&mut *old, 50).await;
    let mut new = join(&*bus, &topic, "a").await;
    let polled = old.poll(10, Duration::from_secs(20)).await.unwrap();
    assert!(matches!(polled, Polled::Revoked(gone) if gone.len() == 4));
    assert!(old.poll(10, Duration::from_secs(20)).await.is_err());
    old.commit(&next).await.unwrap();
    drop(old);
    read(&mut *new, 50).await;
}

/// A check that can't fail is no check: without the fence, and without the version check, the
/// contract suite goes red. Each runs in a process of its own, as the fault points are set at start.
#[test]
fn without_its_checks_the_journal_fails_the_suite() {
    // Without the name of the crate, which no test's path has.
    let (_, here) = module_path!().split_once("::").unwrap();
    for (fault, test) in [
        ("skip-fence", "rows_under_an_older_epoch_are_fenced_alone"),
        (
            "skip-version-check",
            "an_append_on_another_version_conflicts",
        ),
        ("none", "rows_under_an_older_epoch_are_fenced_alone"),
    ] {
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args([&format!("{here}::journal::{test}"), "--exact"])
            .env("TRACKOPS_FAULT", fault)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(said.contains("running 1 test"), "{said}");
        assert_eq!(run.status.success(), fault == "none", "{fault}: {said}");
    }
}
