//! The suite of [`trackops::ports::outbox::Outbox`]: leases, order, acknowledgement, signals. What an
//! append puts into it is in the journal's suite.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use trackops::ports::outbox::{LANES, Outbox};

use super::support::{LEASE, OrdersFixture, Owned, new_orders};

/// Runs the suite against `$fixture`.
macro_rules! outbox_suite {
    ($name:ident, $fixture:ty) => {
        outbox_suite!(@tests $name $fixture:
            rows_stay_until_acknowledged,
            a_lone_holder_has_every_lane,
            holders_share_lanes_fairly,
            lanes_of_the_silent_and_gone_are_taken,
            a_signal_is_not_missed,
        );
    };
    (@tests $name:ident $fixture:ty: $($test:ident,)+) => {
        mod $name {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                $crate::contract::outbox::$test::<$fixture>().await;
            })+
        }
    };
}
pub(crate) use outbox_suite;

pub async fn rows_stay_until_acknowledged<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let (journal, outbox) = (db.fixture.journal(), db.fixture.outbox());
    assert_eq!(outbox.stats().await.unwrap().oldest_age, None);
    for _ in 0..3 {
        let rows: Vec<_> = new_orders(40).iter().map(|new| db.creation(new)).collect();
        journal.append(&rows).await.unwrap();
    }
    let stats = outbox.stats().await.unwrap();
    assert_eq!(stats.pending, 120);
    assert!(stats.oldest_age.is_some_and(|age| age < LEASE));

    let mut left = 120;
    for lane in 0..LANES {
        let all = outbox.fetch(lane, 1000).await.unwrap();
        assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
        let some = outbox.fetch(lane, 2).await.unwrap();
        let seqs = |rows: &[trackops::ports::outbox::OutboxEntry]| -> Vec<i64> {
            rows.iter().map(|row| row.seq).collect()
        };
        assert_eq!(seqs(&some), seqs(&all)[..all.len().min(2)]);
        // Acknowledged out of order: the middle one first.
        let Some(middle) = all.get(1) else { continue };
        outbox.acknowledge(&[middle.seq]).await.unwrap();
        outbox.acknowledge(&[middle.seq]).await.unwrap();
        left -= 1;
        let mut expected = seqs(&all);
        expected.remove(1);
        assert_eq!(seqs(&outbox.fetch(lane, 1000).await.unwrap()), expected);
    }
    outbox.acknowledge(&[]).await.unwrap();
    assert!(left < 120);
    assert_eq!(outbox.stats().await.unwrap().pending, left);
}

async fn lease(outbox: &dyn Outbox, holder: &str) -> BTreeSet<u16> {
    let lanes = outbox.lease(holder, LEASE).await.unwrap();
    let set: BTreeSet<u16> = lanes.iter().copied().collect();
    assert_eq!(set.len(), lanes.len());
    set
}

pub async fn a_lone_holder_has_every_lane<F: OrdersFixture>() {
    let db = F::fresh().await;
    let outbox = db.outbox();
    let every: BTreeSet<u16> = (0..LANES).collect();
    assert_eq!(lease(&*outbox, "a").await, every);
    assert_eq!(lease(&*outbox, "a").await, every);
}

pub async fn holders_share_lanes_fairly<F: OrdersFixture>() {
    let db = F::fresh().await;
    let outbox = db.outbox();
    let holders = ["a", "b", "c"];
    // A newcomer gets its share once the others have given theirs back: two rounds.
    for _ in 0..2 {
        for holder in holders {
            lease(&*outbox, holder).await;
        }
    }
    let mut seen = BTreeSet::new();
    for holder in holders {
        let its = lease(&*outbox, holder).await;
        assert!((2..=3).contains(&its.len()), "{holder} has {its:?}");
        assert!(seen.is_disjoint(&its), "{holder} has {its:?} of another");
        seen.extend(its);
    }
    assert_eq!(seen.len(), usize::from(LANES));
    // Nothing moves without need.
    assert_eq!(lease(&*outbox, "b").await, lease(&*outbox, "b").await);
}

pub async fn lanes_of_the_silent_and_gone_are_taken<F: OrdersFixture>() {
    let db = F::fresh().await;
    let outbox = db.outbox();
    let short = Duration::from_millis(50);
    assert_eq!(outbox.lease("silent", short).await.unwrap().len(), 8);
    let deadline = Instant::now() + Duration::from_secs(20);
    while lease(&*outbox, "heir").await.len() < usize::from(LANES) {
        assert!(Instant::now() < deadline, "the lanes never become free");
        tokio::time::sleep(short).await;
    }
    outbox.release("heir").await.unwrap();
    assert_eq!(lease(&*outbox, "next").await.len(), usize::from(LANES));
}

pub async fn a_signal_is_not_missed<F: OrdersFixture>() {
    let db = F::fresh().await;
    let (journal, outbox) = (db.journal(), db.outbox());
    // Until it runs into its time-out: whatever the start itself signalled is used up.
    let quiet = Duration::from_millis(500);
    for _ in 0..20 {
        let from = Instant::now();
        outbox.wait(quiet).await;
        if from.elapsed() >= quiet {
            break;
        }
    }
    let long = Duration::from_secs(60);
    let from = Instant::now();
    journal.announce().await.unwrap();
    outbox.wait(long).await;
    assert!(from.elapsed() < long / 2, "a signal before the wait");

    let (waited, announced) = tokio::join!(outbox.wait(long), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        journal.announce().await
    });
    announced.unwrap();
    let () = waited;
    assert!(from.elapsed() < long / 2, "a signal during the wait");
}
