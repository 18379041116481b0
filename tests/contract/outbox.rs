//! The suite of [`trackops::ports::outbox::Outbox`], filled through the journal that it belongs to.
//! An adapter runs it by `outbox_suite!(module_name, Fixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::time::Duration;

use trackops::ports::journal::RowOutcome;
use trackops::ports::outbox::{LANES, Outbox, OutboxEntry, OutboxStats};
use trackops_domain::ids::OrderId;

use super::support::{LEASE, OrdersFixture, Owned, new_orders};

/// Runs the suite against `$fixture`.
macro_rules! outbox_suite {
    ($name:ident, $fixture:ty) => {
        mod $name {
            use super::*;
            outbox_suite!(@tests $fixture:
                rows_come_oldest_first_and_go_when_acknowledged,
                an_empty_outbox_says_so,
                a_lone_holder_has_every_lane,
                lanes_are_shared_among_the_living,
                lanes_of_the_dead_are_taken_over,
                an_announcement_before_the_wait_is_not_missed,
            );
        }
    };
    (@tests $fixture:ty: $($test:ident,)+) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::outbox::$test::<$fixture>().await;
        })+
    };
}
pub(crate) use outbox_suite;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn all_rows(outbox: &dyn Outbox) -> Vec<OutboxEntry> {
    let mut rows = Vec::new();
    for lane in 0..LANES {
        rows.extend(outbox.fetch(lane, 10_000).await.unwrap());
    }
    rows
}

async fn lease(outbox: &dyn Outbox, holder: &str) -> BTreeSet<u16> {
    let lanes = outbox.lease(holder, LEASE).await.unwrap();
    let set: BTreeSet<u16> = lanes.iter().copied().collect();
    assert_eq!(set.len(), lanes.len(), "no lane twice: {lanes:?}");
    assert!(set.iter().all(|lane| *lane < LANES));
    set
}

fn every_lane() -> BTreeSet<u16> {
    (0..LANES).collect()
}

pub async fn rows_come_oldest_first_and_go_when_acknowledged<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    let mut placed = Vec::<OrderId>::new();
    for _ in 0..4 {
        let orders = new_orders(50);
        let rows: Vec<_> = orders.iter().map(|new| db.creation(new)).collect();
        let outcomes = db.fixture.journal().append(&rows).await.unwrap();
        assert!(outcomes.iter().all(|o| *o == RowOutcome::Committed));
        placed.extend(orders.iter().map(|(order, _)| order.id));
    }
    let all = all_rows(&*outbox).await;
    let orders: BTreeSet<_> = all.iter().map(|row| row.order).collect();
    assert_eq!(orders, placed.iter().copied().collect());
    assert_eq!(outbox.stats().await.unwrap().pending, 200);

    let lane = (0..LANES).next().unwrap();
    let whole = outbox.fetch(lane, 10_000).await.unwrap();
    assert!(whole.is_sorted_by_key(|row| row.seq));
    let first = outbox.fetch(lane, 3).await.unwrap();
    let seqs = |rows: &[OutboxEntry]| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&first), seqs(&whole[..3]));
    // Looking takes nothing away; acknowledging takes exactly what it names.
    outbox
        .acknowledge(&[first[0].seq, first[2].seq])
        .await
        .unwrap();
    let mut left = seqs(&whole);
    left.retain(|seq| ![first[0].seq, first[2].seq].contains(seq));
    assert_eq!(seqs(&outbox.fetch(lane, 10_000).await.unwrap()), left);
    assert_eq!(outbox.stats().await.unwrap().pending, 198);

    outbox.acknowledge(&[first[0].seq]).await.unwrap();
    outbox.acknowledge(&[]).await.unwrap();
    outbox.acknowledge(&seqs(&all)).await.unwrap();
    assert!(all_rows(&*outbox).await.is_empty());
}

pub async fn an_empty_outbox_says_so<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    assert_eq!(outbox.name(), "orders");
    assert_eq!(outbox.stats().await.unwrap(), OutboxStats::default());
    let placed = new_orders(1);
    let journal = db.fixture.journal();
    journal.append(&[db.creation(&placed[0])]).await.unwrap();
    let stats = outbox.stats().await.unwrap();
    assert_eq!(stats.pending, 1);
    assert!(stats.oldest_age.unwrap() < PATIENCE, "{stats:?}");
}

pub async fn a_lone_holder_has_every_lane<F: OrdersFixture>() {
    let fixture = F::fresh().await;
    let outbox = fixture.outbox();
    assert_eq!(lease(&*outbox, "a").await, every_lane());
    assert_eq!(lease(&*outbox, "a").await, every_lane(), "renewed");
    // Another holder takes nothing that is held, and all of it once it is given up.
    assert!(lease(&*outbox, "b").await.is_empty());
    outbox.release("nobody").await.unwrap();
    assert!(lease(&*outbox, "b").await.is_empty());
    outbox.release("a").await.unwrap();
    assert_eq!(lease(&*outbox, "b").await, every_lane());
}

pub async fn lanes_are_shared_among_the_living<F: OrdersFixture>() {
    let fixture = F::fresh().await;
    let outbox = fixture.outbox();
    let mut names = vec!["a"];
    for newcomer in ["a", "b", "c"] {
        if !names.contains(&newcomer) {
            names.push(newcomer);
        }
        let mut held = vec![BTreeSet::new(); names.len()];
        // Each sees the others and gives back in one round, and takes in the next; a holder that
        // is new to the others takes one more.
        for _ in 0..3 {
            for (index, name) in names.iter().enumerate() {
                held[index] = lease(&*outbox, name).await;
            }
        }
        let lanes: Vec<u16> = held.iter().flatten().copied().collect();
        assert_eq!(
            lanes.len(),
            usize::from(LANES),
            "no lane is two holders': {held:?}"
        );
        assert_eq!(
            held.iter().flatten().copied().collect::<BTreeSet<_>>(),
            every_lane()
        );
        let most = usize::from(LANES).div_ceil(names.len());
        assert!(held.iter().all(|lanes| lanes.len() <= most), "{held:?}");
    }
}

pub async fn lanes_of_the_dead_are_taken_over<F: OrdersFixture>() {
    let fixture = F::fresh().await;
    let outbox = fixture.outbox();
    let short = Duration::from_millis(80);
    assert_eq!(
        outbox.lease("a", short).await.unwrap().len(),
        usize::from(LANES)
    );
    // By the store's clock: asked until it says so.
    tokio::time::timeout(PATIENCE, async {
        while lease(&*outbox, "b").await != every_lane() {
            // Between two looks.
            tokio::time::sleep(short / 4).await;
        }
    })
    .await
    .expect("an ended lease frees its lanes");
    assert!(
        lease(&*outbox, "a").await.is_empty(),
        "it has to wait its turn"
    );
}

pub async fn an_announcement_before_the_wait_is_not_missed<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let (journal, outbox) = (db.fixture.journal(), db.fixture.outbox());
    // Whatever an adapter does at its first wait; without a signal it ends by the time-out.
    outbox.wait(Duration::from_millis(50)).await;
    for _ in 0..3 {
        journal.announce().await.unwrap();
        let waited = tokio::time::timeout(PATIENCE, outbox.wait(PATIENCE * 2)).await;
        waited.expect("a signal that was sent before the wait ends it");
    }
    let waiting = tokio::spawn({
        let outbox = std::sync::Arc::clone(&outbox);
        async move { outbox.wait(PATIENCE * 2).await }
    });
    tokio::task::yield_now().await;
    journal.announce().await.unwrap();
    let woken = tokio::time::timeout(PATIENCE, waiting).await;
    woken.expect("a signal ends a wait under way").unwrap();
}
