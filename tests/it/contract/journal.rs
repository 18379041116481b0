//! The suite of [`trackops::ports::journal::Journal`], with what an append does to the outbox.
//! An adapter runs it by `journal_suite!(module_name, Fixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use trackops::model::outbox_row::OutboxEntry;
use trackops::ports::journal::{AppendError, RowOutcome};
use trackops::ports::outbox::OUTBOX_LANES;
use trackops_cluster::{ShardCount, ShardId, shard_of};
use trackops_domain::command::Command;
use trackops_domain::event::Change;
use trackops_domain::ids::{CommandId, CustomerId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::saga::Stock;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

pub use super::journal_lists::{
    a_shops_orders_are_listed_by_their_status_now, lists_are_newest_first_and_pages_have_no_gap,
};
use super::outbox::{remove, rows_of};
use super::support::{
    OrdersFixture, Owned, TRACEPARENT, changed, new_order, new_order_of, new_orders,
};

/// Runs the suite against `$fixture`.
macro_rules! journal_suite {
    ($name:ident, $fixture:ty) => {
        mod $name {
            use super::*;
            journal_suite!(@tests $fixture:
                orders_come_back_as_they_were_appended,
                a_second_creation_conflicts_and_writes_nothing,
                an_append_on_another_version_conflicts,
                rows_under_an_older_epoch_are_fenced_alone,
                one_bad_row_refuses_the_batch_and_writes_nothing,
                bookkeeping_changes_only_the_head,
                messages_of_accepted_rows_wait_in_their_lane,
                a_mixed_batch_decides_each_row_alone,
                lists_are_newest_first_and_pages_have_no_gap,
                a_shops_orders_are_listed_by_their_status_now,
                due_orders_are_found_by_deadline,
                the_largest_batch_fits,
            );
        }
    };
    (@tests $fixture:ty: $($test:ident,)+) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::journal::$test::<$fixture>().await;
        })+
    };
}
pub(crate) use journal_suite;

use RowOutcome::{Committed, Conflict, Fenced};

async fn load<F: OrdersFixture>(db: &Owned<F>, order: OrderId) -> Option<Order> {
    let loaded = db.fixture.journal().load(&[order]).await.unwrap();
    assert_eq!(loaded.len(), 1);
    loaded.into_iter().next().unwrap()
}

async fn outbox_of<F: OrdersFixture>(db: &Owned<F>, order: OrderId) -> Vec<OutboxEntry> {
    let shard = shard_of(order.0.as_bytes(), ShardCount::DEFAULT);
    let rows = rows_of(&*db.fixture.outbox(), &[shard.0 % OUTBOX_LANES], 10_000).await;
    rows.into_iter().filter(|row| row.order == order).collect()
}

pub async fn orders_come_back_as_they_were_appended<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let placed = new_orders(3);
    let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    assert_eq!(journal.append(&rows).await.unwrap(), [Committed; 3]);

    let mut walked = placed[1].0.clone();
    for change in [
        Change::Confirmed,
        Change::Preparing { courier: None },
        Change::Cancelled {
            reason: "changed \"my\" mind ✗".into(),
        },
    ] {
        let next = changed(&walked, change);
        let outcome = journal.append(&[db.step(&walked, &next)]).await.unwrap();
        assert_eq!(outcome, [Committed]);
        walked = next.0;
    }

    let unknown = OrderId(Uuid::now_v7());
    let wanted = [placed[2].0.id, unknown, walked.id, placed[0].0.id];
    let loaded = journal.load(&wanted).await.unwrap();
    assert_eq!(
        loaded,
        [
            Some(placed[2].0.clone()),
            None,
            Some(walked),
            Some(placed[0].0.clone())
        ]
    );
    assert_eq!(journal.load(&[]).await.unwrap(), []);
    journal.ping().await.unwrap();
    journal.announce().await.unwrap();
}

pub async fn a_second_creation_conflicts_and_writes_nothing<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let first = new_order();
    journal.append(&[db.creation(&first)]).await.unwrap();
    let mut second = new_order();
    second.0.id = first.0.id;
    second.1.order = first.0.id;
    let bystander = new_order();
    let rows = [db.creation(&second), db.creation(&bystander)];
    assert_eq!(journal.append(&rows).await.unwrap(), [Conflict, Committed]);
    assert_eq!(load(&db, first.0.id).await, Some(first.0.clone()));
    assert_eq!(outbox_of(&db, first.0.id).await.len(), 1);
}

pub async fn an_append_on_another_version_conflicts<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let placed = new_order();
    let confirmed = changed(&placed.0, Change::Confirmed);
    let preparing = changed(&confirmed.0, Change::Preparing { courier: None });

    // The order doesn't exist yet.
    let early = journal.append(&[db.step(&placed.0, &confirmed)]).await;
    assert_eq!(early.unwrap(), [Conflict]);
    assert_eq!(load(&db, placed.0.id).await, None);
    assert!(outbox_of(&db, placed.0.id).await.is_empty());

    journal.append(&[db.creation(&placed)]).await.unwrap();
    // Too far ahead, then right, then the same again: a second writer with an old state.
    let ahead = journal.append(&[db.step(&confirmed.0, &preparing)]).await;
    assert_eq!(ahead.unwrap(), [Conflict]);
    let right = journal.append(&[db.step(&placed.0, &confirmed)]).await;
    assert_eq!(right.unwrap(), [Committed]);
    let cancelled = changed(
        &placed.0,
        Change::Cancelled {
            reason: "late".into(),
        },
    );
    let stale = journal.append(&[db.step(&placed.0, &cancelled)]).await;
    assert_eq!(stale.unwrap(), [Conflict]);
    assert_eq!(load(&db, placed.0.id).await, Some(confirmed.0));
    assert_eq!(outbox_of(&db, placed.0.id).await.len(), 2);
}

pub async fn rows_under_an_older_epoch_are_fenced_alone<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let known = new_order();
    journal.append(&[db.creation(&known)]).await.unwrap();
    let lost = db.creation(&known).shard;
    let claimed = db.claim_again(lost).await;
    assert!(claimed.epoch > db.epochs[&lost]);

    let elsewhere = std::iter::repeat_with(new_order)
        .find(|new| db.creation(new).shard != lost)
        .unwrap();
    let here = std::iter::repeat_with(new_order)
        .find(|new| db.creation(new).shard == lost)
        .unwrap();
    let confirmed = changed(&known.0, Change::Confirmed);
    let rows = [
        db.creation(&here),
        db.creation(&elsewhere),
        db.step(&known.0, &confirmed),
    ];
    assert_eq!(
        journal.append(&rows).await.unwrap(),
        [Fenced, Committed, Fenced]
    );
    assert_eq!(load(&db, here.0.id).await, None);
    assert_eq!(load(&db, known.0.id).await, Some(known.0.clone()));
    assert!(outbox_of(&db, here.0.id).await.is_empty());

    // Under the new epoch the same rows go through.
    let mut rows = [rows[0].clone(), rows[2].clone()];
    for row in &mut rows {
        row.epoch = claimed.epoch;
    }
    assert_eq!(journal.append(&rows).await.unwrap(), [Committed; 2]);
}

pub async fn one_bad_row_refuses_the_batch_and_writes_nothing<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let placed = new_orders(100);
    let mut rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    // U+0000: valid in JSON, which is why the edges refuse it; here it comes through all the same.
    let event = rows[57].event.as_mut().unwrap();
    event.data = Some(r#"{"v":1,"content":{"note":"\u0000"}}"#.into());
    let refused = journal.append(&rows).await;
    assert!(
        matches!(refused, Err(AppendError::BadRow(_))),
        "{refused:?}"
    );
    let ids: Vec<_> = placed.iter().map(|(order, _)| order.id).collect();
    let loaded = journal.load(&ids).await.unwrap();
    assert!(loaded.iter().all(Option::is_none));
    assert_eq!(db.fixture.outbox().stats().await.unwrap().pending, 0);

    // Halving leaves the culprit alone; the others are good.
    rows.remove(57);
    assert_eq!(journal.append(&rows).await.unwrap(), [Committed; 99]);
}

pub async fn bookkeeping_changes_only_the_head<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let placed = new_order();
    journal.append(&[db.creation(&placed)]).await.unwrap();

    let mut asked = placed.0.clone();
    asked.saga.asked_again = 1;
    asked.saga.deadline = asked.saga.deadline.map(|d| d.plus(Duration::from_secs(60)));
    let reason = "hail".into();
    asked.remember(CommandId(Uuid::new_v4()), &Command::Cancel { reason });
    let mut row = db.row(&asked, Some(Version::FIRST), None);
    // Asking again sends the first message again, under its first id.
    row.outbox = db.creation(&placed).outbox;
    assert_eq!(journal.append(&[row]).await.unwrap(), [Committed]);
    assert_eq!(load(&db, asked.id).await, Some(asked.clone()));
    let sent = outbox_of(&db, asked.id).await;
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].row.id, sent[1].row.id);

    let mut settled = asked.clone();
    settled.saga.deadline = None;
    settled.saga.stock = Stock::Released;
    let row = db.row(&settled, Some(Version(2)), None);
    assert_eq!(journal.append(&[row]).await.unwrap(), [Conflict]);
    let row = db.row(&settled, Some(Version::FIRST), None);
    assert_eq!(journal.append(&[row]).await.unwrap(), [Committed]);
    assert_eq!(load(&db, settled.id).await, Some(settled));
}

pub async fn messages_of_accepted_rows_wait_in_their_lane<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let (journal, outbox) = (db.fixture.journal(), db.fixture.outbox());
    let placed = new_orders(20);
    let mut rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    rows[3].outbox[0].traceparent = None;
    let outcomes = journal.append(&rows).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Committed));
    let confirmed = changed(&placed[0].0, Change::Confirmed);
    let step = db.step(&placed[0].0, &confirmed);
    journal.append(std::slice::from_ref(&step)).await.unwrap();
    let cancelled = changed(
        &confirmed.0,
        Change::Cancelled {
            reason: "no".into(),
        },
    );
    let last = db.step(&confirmed.0, &cancelled);
    assert_eq!(last.outbox.len(), 2);
    journal.append(std::slice::from_ref(&last)).await.unwrap();

    for row in &rows[1..] {
        let sent = outbox_of(&db, row.order).await;
        assert_eq!(sent.len(), 1);
        assert_same(&sent[0], row.order, &row.outbox[0]);
    }
    let sent = outbox_of(&db, placed[0].0.id).await;
    let expected = [
        &rows[0].outbox[0],
        &step.outbox[0],
        &last.outbox[0],
        &last.outbox[1],
    ];
    assert_eq!(sent.len(), expected.len());
    for (entry, row) in sent.iter().zip(expected) {
        assert_same(entry, placed[0].0.id, row);
    }
    assert_eq!(outbox.stats().await.unwrap().pending, 23);
}

fn assert_same(entry: &OutboxEntry, order: OrderId, row: &trackops::model::outbox_row::OutboxRow) {
    assert_eq!(entry.order, order);
    let stored = &entry.row;
    assert_eq!(
        (stored.id, stored.topic, stored.version, stored.ordinal),
        (row.id, row.topic, row.version, row.ordinal)
    );
    assert_eq!((stored.at, &stored.payload), (row.at, &row.payload));
    assert_eq!(stored.traceparent, row.traceparent);
    assert!(
        stored
            .traceparent
            .as_deref()
            .is_none_or(|t| t == TRACEPARENT)
    );
}

pub async fn a_mixed_batch_decides_each_row_alone<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let old = new_orders(4);
    let rows: Vec<_> = old.iter().map(|new| db.creation(new)).collect();
    journal.append(&rows).await.unwrap();

    let confirmed = changed(&old[0].0, Change::Confirmed);
    let rejected = changed(
        &old[1].0,
        Change::Rejected {
            reason: "not in stock: NULL".into(),
        },
    );
    let skipping = changed(
        &changed(&old[2].0, Change::Confirmed).0,
        Change::Preparing { courier: None },
    );
    let mut bookkept = old[3].0.clone();
    bookkept.saga.asked_again = 1;
    let fresh = new_order();
    let rows = [
        db.step(&old[0].0, &confirmed),
        db.creation(&fresh),
        db.row(&skipping.0, Some(Version(2)), Some(&skipping.1)),
        db.row(&bookkept, Some(Version::FIRST), None),
        db.step(&old[1].0, &rejected),
    ];
    assert_eq!(
        journal.append(&rows).await.unwrap(),
        [Committed, Committed, Conflict, Committed, Committed]
    );
    let ids: Vec<_> = rows.iter().map(|row| row.order).collect();
    let loaded = journal.load(&ids).await.unwrap();
    let expected = [confirmed.0, fresh.0, old[2].0.clone(), bookkept, rejected.0];
    assert_eq!(loaded, expected.map(Some));
}

pub async fn due_orders_are_found_by_deadline<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let (journal, outbox) = (db.fixture.journal(), db.fixture.outbox());
    let start = Timestamp(1_700_000_000_000);
    let placed: Vec<_> = (0..6)
        .map(|n| {
            new_order_of(
                CustomerId(Uuid::new_v4()),
                Timestamp(start.0 + 10 * (5 - n)),
            )
        })
        .collect();
    let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    journal.append(&rows).await.unwrap();
    // Confirmed: nothing is awaited any more.
    let confirmed = changed(&placed[0].0, Change::Confirmed);
    let step = db.step(&placed[0].0, &confirmed);
    journal.append(&[step]).await.unwrap();
    // The request of the oldest has been published.
    let sent = outbox_of(&db, placed[5].0.id).await;
    remove(&*outbox, &[sent[0].row_id]).await;

    let all: Vec<ShardId> = ShardCount::DEFAULT.iter().collect();
    let deadline = |n: usize| placed[n].0.saga.deadline.unwrap();
    let due = journal.due(&all, deadline(2), 10).await.unwrap();
    let found: Vec<_> = due
        .iter()
        .map(|d| (d.order, d.deadline, d.request_unsent))
        .collect();
    let expected: Vec<_> = [5, 4, 3, 2]
        .map(|n| (placed[n].0.id, deadline(n), n != 5))
        .into();
    assert_eq!(found, expected);

    let limited = journal.due(&all, deadline(1), 2).await.unwrap();
    let found: Vec<_> = limited.iter().map(|d| d.order).collect();
    assert_eq!(found, [placed[5].0.id, placed[4].0.id]);
    let one_shard = db.creation(&placed[3]).shard;
    let due = journal.due(&[one_shard], deadline(1), 10).await.unwrap();
    assert!(due.iter().any(|d| d.order == placed[3].0.id));
    assert!(
        due.iter()
            .all(|d| shard_of(d.order.0.as_bytes(), ShardCount::DEFAULT) == one_shard)
    );
    assert_eq!(journal.due(&all, start, 10).await.unwrap(), []);
}

pub async fn the_largest_batch_fits<F: OrdersFixture>() {
    let db = Arc::new(Owned::<F>::fresh().await);
    let journal = db.fixture.journal();
    let count = trackops::ports::journal::APPEND_ROWS_MAX;
    // Several at once, on the same shards: nobody waits for anybody in a circle.
    let appends = (0..4).map(|_| {
        let (journal, db) = (Arc::clone(&journal), Arc::clone(&db));
        tokio::spawn(async move {
            let placed = new_orders(count);
            let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
            let outcomes = journal.append(&rows).await.unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == Committed));
        })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap();
    }
    let pending = db.fixture.outbox().stats().await.unwrap().pending;
    assert_eq!(pending, 4 * count as u64);
}
