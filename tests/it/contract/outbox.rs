//! The suite of [`trackops::ports::outbox::Outbox`], filled through the journal that it belongs to.
//! An adapter runs it by `outbox_suite!(module_name, Fixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::time::Duration;

use trackops::model::outbox_row::{OutboxEntry, RowId};
use trackops::ports::journal::RowOutcome;
use trackops::ports::outbox::{
    OUTBOX_LANES, Outbox, OutboxLanePosition, OutboxStats, UNKNOWN_TOPIC, UnreadableRow, Wanted,
};
use trackops_domain::ids::OrderId;

use super::support::{LEASE, OrdersFixture, Owned, StoredFixture, new_orders};

/// Runs the suite against `$fixture`.
macro_rules! outbox_suite {
    ($name:ident, $fixture:ty) => {
        mod $name {
            use super::*;
            outbox_suite!(@tests $fixture:
                rows_come_oldest_first_and_go_when_removed,
                what_is_known_is_not_given_again,
                a_fetch_is_bounded_by_bytes,
                a_row_that_cannot_be_read_is_set_aside_alone,
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

/// The first rows of `lanes`, all of which can be read.
pub async fn rows_of(outbox: &dyn Outbox, lanes: &[u16], rows_max: u32) -> Vec<OutboxEntry> {
    let fetched = outbox.exchange(&[], &wanted(lanes, rows_max)).await;
    fetched
        .unwrap()
        .rows
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

/// All rows of all lanes.
pub async fn all_rows(outbox: &dyn Outbox) -> Vec<OutboxEntry> {
    let lanes: Vec<u16> = (0..OUTBOX_LANES).collect();
    rows_of(outbox, &lanes, 80_000).await
}

/// Removes rows, and looks for nothing.
pub async fn remove(outbox: &dyn Outbox, rows: &[RowId]) {
    let fetched = outbox.exchange(rows, &Wanted::default()).await.unwrap();
    assert!(fetched.rows.is_empty() && fetched.next.is_empty());
}

fn wanted(lanes: &[u16], rows_max: u32) -> Wanted {
    Wanted {
        lanes: lanes
            .iter()
            .copied()
            .map(OutboxLanePosition::start)
            .collect(),
        rows_max,
        bytes_max: 100 << 20,
        except: Vec::new(),
    }
}

fn ids(rows: &[OutboxEntry]) -> Vec<RowId> {
    rows.iter().map(|row| row.row_id).collect()
}

async fn place<F: OrdersFixture>(db: &Owned<F>, count: usize) -> Vec<OrderId> {
    let orders = new_orders(count);
    let rows: Vec<_> = orders.iter().map(|new| db.creation(new)).collect();
    let outcomes = db.fixture.journal().append(&rows).await.unwrap();
    assert!(outcomes.iter().all(|o| *o == RowOutcome::Committed));
    orders.iter().map(|(order, _)| order.id).collect()
}

async fn lease(outbox: &dyn Outbox, holder: &str) -> BTreeSet<u16> {
    let lanes = outbox.lease(holder, LEASE).await.unwrap();
    let set: BTreeSet<u16> = lanes.iter().copied().collect();
    assert_eq!(set.len(), lanes.len(), "no lane twice: {lanes:?}");
    assert!(set.iter().all(|lane| *lane < OUTBOX_LANES));
    set
}

fn every_lane() -> BTreeSet<u16> {
    (0..OUTBOX_LANES).collect()
}

pub async fn rows_come_oldest_first_and_go_when_removed<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    let mut placed = Vec::<OrderId>::new();
    for _ in 0..4 {
        placed.extend(place(&db, 50).await);
    }
    let all = all_rows(&*outbox).await;
    let orders: BTreeSet<_> = all.iter().map(|row| row.order).collect();
    assert_eq!(orders, placed.iter().copied().collect());
    let seqs: BTreeSet<_> = all.iter().map(|row| row.row_id.seq).collect();
    assert_eq!(seqs.len(), 200, "a number is one row's, in whatever lane");
    assert_eq!(outbox.stats().await.unwrap().pending, 200);

    let lane = (0..OUTBOX_LANES).next().unwrap();
    let whole = rows_of(&*outbox, &[lane], 10_000).await;
    assert!(whole.iter().all(|row| row.row_id.lane == lane));
    assert!(whole.is_sorted_by_key(|row| row.row_id.seq));
    let first = rows_of(&*outbox, &[lane], 3).await;
    assert_eq!(ids(&first), ids(&whole[..3]));
    // Looking takes nothing away; removing takes exactly what it names, and looks afterwards.
    let removed = [first[0].row_id, first[2].row_id];
    let fetched = outbox.exchange(&removed, &wanted(&[lane], 10_000)).await;
    let rows: Vec<_> = fetched
        .unwrap()
        .rows
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let mut left = ids(&whole);
    left.retain(|row| !removed.contains(row));
    assert_eq!(ids(&rows), left);
    assert_eq!(ids(&rows_of(&*outbox, &[lane], 10_000).await), left);
    assert_eq!(outbox.stats().await.unwrap().pending, 198);

    remove(&*outbox, &[first[0].row_id]).await;
    remove(&*outbox, &[]).await;
    remove(&*outbox, &ids(&all)).await;
    assert!(all_rows(&*outbox).await.is_empty());
}

/// Reading on from where the last fetch ended, with what is in hand named, gives each row once, however
/// few are asked for at a time and whatever is removed and added in between.
pub async fn what_is_known_is_not_given_again<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    let lanes: Vec<u16> = (0..OUTBOX_LANES).collect();
    let mut expected = BTreeSet::new();
    let mut in_hand = Vec::<RowId>::new();
    let mut seen = BTreeSet::new();
    let mut want = wanted(&lanes, 24);
    for round in 0..60 {
        if round % 2 == 0 && round < 30 {
            expected.extend(place(&db, 20).await);
        }
        // What was given some rounds ago is removed.
        let removed: Vec<RowId> = in_hand.drain(..in_hand.len() / 2).collect();
        let fetched = outbox.exchange(&removed, &want).await.unwrap();
        for row in fetched.rows {
            let row = row.unwrap();
            assert!(!removed.contains(&row.row_id) && !in_hand.contains(&row.row_id));
            assert!(seen.insert(row.order), "round {round}: given again");
            in_hand.push(row.row_id);
        }
        want.lanes = fetched.next;
        assert_eq!(want.lanes.len(), lanes.len());
        let is_beyond = |row: &&RowId| {
            let of_lane = want.lanes.iter().find(|from| from.lane == row.lane);
            of_lane.unwrap().after < row.seq
        };
        want.except = in_hand.iter().filter(is_beyond).copied().collect();
    }
    assert_eq!(seen, expected);
    // From the start, everything that is still there comes again.
    let left: BTreeSet<_> = ids(&all_rows(&*outbox).await).into_iter().collect();
    assert_eq!(left, in_hand.into_iter().collect());
}

pub async fn a_fetch_is_bounded_by_bytes<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    place(&db, 200).await;
    let lane = 3;
    let whole = rows_of(&*outbox, &[lane], 10_000).await;
    let bytes = |rows: &[OutboxEntry]| rows.iter().map(|row| row.row.payload.len()).sum::<usize>();
    let mut want = wanted(&[lane], 10_000);
    for count in [1, 4, 9] {
        // The row that passes the bytes is the last.
        want.bytes_max = u32::try_from(bytes(&whole[..count])).unwrap();
        let fetched = outbox.exchange(&[], &want).await.unwrap();
        assert!(fetched.has_more);
        let rows: Vec<_> = fetched.rows.into_iter().map(Result::unwrap).collect();
        assert_eq!(ids(&rows), ids(&whole[..count]), "{} bytes", want.bytes_max);
    }
}

pub async fn a_row_that_cannot_be_read_is_set_aside_alone<F: StoredFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    let placed = place(&db, 3).await;
    let rows = all_rows(&*outbox).await;
    let of = |order| rows.iter().find(|row| row.order == order).unwrap().row_id;
    let [newer, nonsense, good] = [of(placed[0]), of(placed[1]), of(placed[2])];
    let unknown = "topic = 'OF_A_NEWER_PROGRAM'";
    db.fixture.change("outbox", newer, unknown).await;
    db.fixture.change("outbox", nonsense, "version = -1").await;

    let lanes: Vec<u16> = (0..OUTBOX_LANES).collect();
    let fetched = outbox.exchange(&[], &wanted(&lanes, 800)).await.unwrap();
    let (good_rows, bad): (Vec<_>, Vec<_>) = fetched.rows.into_iter().partition(Result::is_ok);
    let good_rows: Vec<_> = good_rows.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids(&good_rows), [good]);
    let mut bad: Vec<UnreadableRow> = bad.into_iter().map(Result::unwrap_err).collect();
    bad.sort_by_key(|row| row.row_id != newer);
    assert_eq!([bad[0].row_id, bad[1].row_id], [newer, nonsense]);
    assert_eq!(bad[0].reason, UNKNOWN_TOPIC);

    outbox.set_aside(&bad).await.unwrap();
    outbox.set_aside(&bad).await.unwrap();
    let stats = outbox.stats().await.unwrap();
    assert_eq!((stats.pending, stats.set_aside), (1, 2));
    assert_eq!(ids(&all_rows(&*outbox).await), [good]);
    // Nothing is taken back by a program that can't read it either, or from others' lanes.
    assert_eq!(outbox.take_back(&lanes).await.unwrap(), 0);
    let known = "topic = 'ORDER_CREATED'";
    db.fixture.change("outbox_set_aside", newer, known).await;
    let others: Vec<u16> = lanes.iter().copied().filter(|l| *l != newer.lane).collect();
    assert_eq!(outbox.take_back(&others).await.unwrap(), 0);
    assert_eq!(outbox.take_back(&lanes).await.unwrap(), 1);
    let stats = outbox.stats().await.unwrap();
    assert_eq!((stats.pending, stats.set_aside), (2, 1));
    let back = all_rows(&*outbox).await;
    let back = back.iter().find(|row| row.order == placed[0]).unwrap();
    assert_eq!(back.row_id.lane, newer.lane);
    assert!(back.row_id.seq > good.seq, "behind all others");
}

pub async fn an_empty_outbox_says_so<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let outbox = db.fixture.outbox();
    assert_eq!(outbox.name(), "orders");
    assert_eq!(outbox.stats().await.unwrap(), OutboxStats::default());
    place(&db, 1).await;
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
            usize::from(OUTBOX_LANES),
            "no lane is two holders': {held:?}"
        );
        assert_eq!(
            held.iter().flatten().copied().collect::<BTreeSet<_>>(),
            every_lane()
        );
        let most = usize::from(OUTBOX_LANES).div_ceil(names.len());
        assert!(held.iter().all(|lanes| lanes.len() <= most), "{held:?}");
    }
}

pub async fn lanes_of_the_dead_are_taken_over<F: OrdersFixture>() {
    let fixture = F::fresh().await;
    let outbox = fixture.outbox();
    let short = Duration::from_millis(80);
    assert_eq!(
        outbox.lease("a", short).await.unwrap().len(),
        usize::from(OUTBOX_LANES)
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
