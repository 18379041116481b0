//! The in-memory membership and journal pass the suites of the real ones; the membership fails where
//! it is told to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use trackops::ports::journal::Journal;
use trackops::ports::outbox::Outbox;
use trackops_cluster::membership::{Membership, MembershipError, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use crate::contract::journal::journal_suite;
use crate::contract::membership::{lease_suite, ownership_suite};
use crate::contract::support::{OrdersFixture, ShardsFixture};
use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::{Call, Fault, MemoryMembership};
use crate::doubles::outbox::MemoryOutbox;

/// Journal and membership in memory.
pub struct InMemory {
    journal: MemoryJournal,
    membership: MemoryMembership,
    callers: parking_lot::Mutex<u32>,
}

#[async_trait]
impl ShardsFixture for InMemory {
    async fn fresh() -> Self {
        let journal = MemoryJournal::default();
        Self {
            membership: MemoryMembership::new(&journal, ShardCount::DEFAULT),
            journal,
            callers: parking_lot::Mutex::default(),
        }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.journal.clone())
    }

    fn membership(&self) -> Arc<dyn Membership> {
        let mut callers = self.callers.lock();
        *callers += 1;
        Arc::new(self.membership.caller(&callers.to_string()))
    }
}

impl OrdersFixture for InMemory {
    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(MemoryOutbox(self.journal.clone()))
    }
}

journal_suite!(journal, InMemory);
ownership_suite!(ownership, InMemory);
lease_suite!(leases, InMemory);

const LEASE: Duration = Duration::from_secs(600);
const SHARD: ShardId = ShardId(0);

fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

fn fresh() -> MemoryMembership {
    let count = ShardCount::new(4).expect("in range");
    MemoryMembership::new(&MemoryJournal::default(), count)
}

fn epoch(membership: &MemoryMembership) -> Epoch {
    membership.truth().shards[0].epoch
}

fn is_away<T: std::fmt::Debug>(answer: &Result<T, MembershipError>) {
    assert!(
        matches!(answer, Err(MembershipError::Unavailable(_))),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_fails_at_the_chosen_call_on_the_chosen_way() {
    let (a, b) = (fresh().caller("a"), node("b"));
    let its = a.join(&b, "x:1", LEASE).await.expect("free");
    a.script(
        Call::Claim,
        &[Fault::None, Fault::Unavailable, Fault::AnswerLost],
    );
    let claim = async |way: &MemoryMembership| {
        let wanted = [(SHARD, epoch(way))];
        way.claim(&b, its, &wanted).await
    };
    assert_eq!(claim(&a).await.expect("works").len(), 1);
    is_away(&claim(&a).await);
    assert_eq!(epoch(&a), Epoch(1), "it didn't happen");
    // Another way isn't touched by it.
    assert_eq!(claim(&a.caller("b")).await.expect("works").len(), 1);
    is_away(&claim(&a).await);
    assert_eq!(epoch(&a), Epoch(3), "it happened");
    assert_eq!(claim(&a).await.expect("works").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_delays_requests_and_answers() {
    let (a, b) = (fresh(), node("b"));
    let its = a.join(&b, "x:1", LEASE).await.expect("free");
    let second = Duration::from_secs(1);
    a.script(
        Call::Claim,
        &[Fault::AnswerDelayed(second), Fault::RequestDelayed(second)],
    );
    let started = Instant::now();
    let claimed = a.claim(&b, its, &[(SHARD, Epoch(0))]).await;
    assert_eq!(claimed.expect("works")[0].epoch, Epoch(1));
    assert_eq!(started.elapsed(), second);
    // Given up by its caller, it happens all the same.
    let wanted = [(SHARD, Epoch(1))];
    let late = timeout(second / 2, a.claim(&b, its, &wanted)).await;
    assert!(late.is_err());
    assert_eq!(epoch(&a), Epoch(1));
    // Of the paused clock, until the delayed request gets there.
    tokio::time::sleep(second).await;
    assert_eq!(epoch(&a), Epoch(2));
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_neither_calls_nor_hears() {
    let (a, b) = (fresh(), node("b"));
    let cut = a.caller("cut");
    cut.cut(true);
    is_away(&cut.view().await);
    a.join(&b, "x:1", LEASE).await.expect("free");
    timeout(LEASE, a.changed())
        .await
        .expect("it hears")
        .expect("works");
    assert!(timeout(LEASE, cut.changed()).await.is_err());
    cut.cut(false);
    cut.view().await.expect("works");
}

#[tokio::test(start_paused = true)]
async fn broken_on_purpose_it_does_not_fence() {
    let (a, b) = (fresh(), node("b"));
    a.break_epochs();
    let its = a.join(&b, "x:1", LEASE).await.expect("free");
    let claimed = a.claim(&b, its, &[(SHARD, Epoch(0))]).await;
    assert_eq!(claimed.expect("works")[0].epoch, Epoch(0));
}
