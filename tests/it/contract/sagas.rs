//! The suite of [`trackops::ports::sagas::Sagas`]. An adapter runs it by `sagas_suite!(name, Fixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use trackops::ports::sagas::{Sagas, Stuck, WaitingFilter};
use trackops_cluster::{ShardCount, ShardId};
use trackops_domain::event::Change;
use trackops_domain::ids::CustomerId;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::support::{OrdersFixture, Owned, changed, new_order_of};

/// Adapters whose waiting sagas can be asked for.
pub trait SagasFixture: OrdersFixture {
    /// Those of the fixture's journal.
    fn sagas(&self) -> Arc<dyn Sagas>;
}

/// Runs the suite against `$fixture`.
macro_rules! sagas_suite {
    ($name:ident, $fixture:ty) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_waits_is_listed_and_counted() {
                $crate::contract::sagas::what_waits_is_listed_and_counted::<$fixture>().await;
            }
        }
    };
}
pub(crate) use sagas_suite;

const START: Timestamp = Timestamp(1_700_000_000_000);

const fn minutes(count: i64) -> Timestamp {
    Timestamp(START.0 + count * 60_000)
}

/// Orders for stock and orders for its release, of every shard, the longest waiting first.
pub async fn what_waits_is_listed_and_counted<F: SagasFixture>() {
    let db = Owned::<F>::fresh().await;
    let (journal, sagas) = (db.fixture.journal(), db.fixture.sagas());
    let placed: Vec<_> = (0..4)
        .map(|n| new_order_of(CustomerId(Uuid::new_v4()), minutes(n)))
        .collect();
    let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    journal.append(&rows).await.unwrap();
    // Confirmed: nothing is awaited any more.
    let confirmed = changed(&placed[1].0, Change::Confirmed);
    // Cancelled, asked for again, and looked at in an hour.
    let reason = "hail".into();
    let mut cancelled = changed(&placed[2].0, Change::Cancelled { reason });
    cancelled.0.saga.deadline = Some(minutes(62));
    cancelled.0.saga.asked_again = 3;
    let steps = [
        db.step(&placed[1].0, &confirmed),
        db.step(&placed[2].0, &cancelled),
    ];
    journal.append(&steps).await.unwrap();

    let mut filter = WaitingFilter {
        limit: 10,
        ..WaitingFilter::default()
    };
    let found = sagas.waiting(&filter).await.unwrap();
    let orders: Vec<_> = found.iter().map(|one| one.order).collect();
    assert_eq!(orders, [0, 2, 3].map(|n: usize| placed[n].0.id));
    let release = &found[1];
    assert_eq!(release.status, Status::Cancelled);
    assert_eq!(release.since, cancelled.0.updated_at());
    assert_eq!((release.deadline, release.asked_again), (minutes(62), 3));

    filter.after = Some((found[0].since, found[0].order));
    filter.limit = 1;
    assert_eq!(sagas.waiting(&filter).await.unwrap(), found[1..2]);

    // At the fifth minute the first deadline is overdue by more than a minute, and the cancellation has
    // waited for more than two.
    filter = WaitingFilter {
        stuck: Some(Stuck::at(minutes(5), Duration::from_secs(150))),
        after: None,
        limit: 10,
    };
    let stuck = sagas.waiting(&filter).await.unwrap();
    let orders: Vec<_> = stuck.iter().map(|one| one.order).collect();
    assert_eq!(orders, [0, 2].map(|n: usize| placed[n].0.id));
    let all: Vec<ShardId> = ShardCount::DEFAULT.iter().collect();
    let wanted = filter.stuck.unwrap();
    assert_eq!(sagas.count_stuck(&all, wanted, 10).await.unwrap(), 2);
    assert_eq!(sagas.count_stuck(&all, wanted, 1).await.unwrap(), 1);
    let shard = db.creation(&placed[2]).shard;
    let others: Vec<_> = all.iter().copied().filter(|s| *s != shard).collect();
    let of_others = u64::from(db.creation(&placed[0]).shard != shard);
    assert_eq!(
        sagas.count_stuck(&others, wanted, 10).await.unwrap(),
        of_others
    );
}
