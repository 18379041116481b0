//! Shards that move in the middle of the work.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use trackops::actors::Settings;
use trackops::model::orders_error::OrdersError;
use trackops::ports::orders::OrdersExt;
use trackops_cluster::coordinator::Shards as _;
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::Version;
use trackops_domain::status::Status;

use super::rig::{Cluster, until};
use crate::actors::rig::{execute, request, settings};

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_comes_during_a_move_is_answered_by_the_next_owner() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // One thread, so it is the one of every task.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = Arc::new(Cluster::new().await);
    let order = cluster.confirmed(0).await;
    let shard = cluster.shard_of(order);
    assert!(cluster.replicas[0].node.drain(shard, LIMIT).await);
    let waiting: Vec<_> = [0, 1]
        .map(|at| {
            let cluster = Arc::clone(&cluster);
            tokio::spawn(async move {
                let step = Command::advance(Status::Preparing);
                (
                    cluster.command(at, order, step).await,
                    cluster.replicas[at]
                        .router
                        .read(order, &Caller::anonymous())
                        .await,
                )
            })
        })
        .into();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(waiting.iter().all(|task| !task.is_finished()), "held");
    assert_eq!(cluster.journal.statuses(order), ["PENDING", "CONFIRMED"]);
    // Placing goes on meanwhile, on other shards.
    let placed = cluster.place(0).await;
    assert_ne!(cluster.shard_of(placed), shard);

    cluster.finish_move(shard, 0, 2).await;
    for task in waiting {
        let (done, read) = task.await.expect("no panic");
        assert_eq!(done.expect("by c").order.version(), Version(3));
        assert_eq!(read.expect("by c").version, Version(3));
    }
    // Both commands, wherever they were sent; the reads came later.
    let shown = handle.render();
    let held = "trackops_shard_held_seconds_count 2";
    assert!(shown.contains(held), "{shown}");
    let report = cluster.replicas[0].router.inspect(order).await;
    assert_eq!(report.expect("known").shard, shard.0);
    assert_eq!(
        cluster.journal.statuses(order),
        ["PENDING", "CONFIRMED", "PREPARING"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_shards_go_round() {
    let cluster = Arc::new(Cluster::new().await);
    let movers = {
        let cluster = Arc::clone(&cluster);
        tokio::spawn(async move {
            for round in 0..6 {
                let (from, to) = (round % 3, (round + 1) % 3);
                for (shard, _) in cluster.replicas[from].node.owned() {
                    cluster.hand_over(shard, from, to).await;
                }
            }
        })
    };
    let mut placed = 0;
    while !movers.is_finished() || placed == 0 {
        let lives = (0..12).map(|number| {
            let cluster = Arc::clone(&cluster);
            async move {
                let order = cluster.place(number % 3).await;
                let steps = [
                    Command::StockReserved,
                    Command::advance(Status::Preparing),
                    Command::advance(Status::InTransit),
                    Command::advance(Status::Delivered),
                ];
                for (step, version) in steps.into_iter().zip(2..) {
                    let done = cluster.command((number + 1) % 3, order, step).await;
                    let done = done.expect("nothing fails");
                    assert_eq!(done.order.version(), Version(version));
                    let read = cluster.replicas[(number + 2) % 3]
                        .router
                        .read(order, &Caller::anonymous())
                        .await;
                    assert_eq!(read.expect("read").version, Version(version), "I8");
                }
            }
        });
        placed += join_all(lives).await.len();
    }
    movers.await.expect("no panic");
    assert!(placed >= 12);
}

#[tokio::test]
async fn a_held_shard_takes_no_more_than_its_bound() {
    let cluster = Arc::new(
        Cluster::with(Settings {
            shard_held_max: 2,
            ..settings()
        })
        .await,
    );
    let order = cluster.confirmed(0).await;
    let shard = cluster.shard_of(order);
    assert!(cluster.replicas[0].node.drain(shard, LIMIT).await);
    let read = |at: usize| {
        let cluster = Arc::clone(&cluster);
        tokio::spawn(async move {
            cluster.replicas[at]
                .router
                .read(order, &Caller::anonymous())
                .await
        })
    };
    let waiting = [read(0), read(1)];
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    for at in [0, 2] {
        let refused = cluster.replicas[at]
            .router
            .read(order, &Caller::anonymous())
            .await;
        assert!(
            matches!(refused, Err(OrdersError::Overloaded { .. })),
            "{refused:?}"
        );
    }
    // The move doesn't happen.
    cluster.keep(shard, 0).await;
    for task in waiting {
        assert_eq!(
            task.await.expect("no panic").expect("read").version,
            Version(2)
        );
    }
}

#[tokio::test]
async fn a_drain_that_takes_too_long_changes_nothing() {
    let cluster = Arc::new(Cluster::new().await);
    let order = cluster.confirmed(0).await;
    let shard = cluster.shard_of(order);
    let gate = cluster.journal.hold_appends();
    let slow = {
        let cluster = Arc::clone(&cluster);
        let step = Command::advance(Status::Preparing);
        tokio::spawn(async move { cluster.command(0, order, step).await })
    };
    until("an append is under way", || {
        cluster.journal.held_appends() > 0
    })
    .await;
    let node = &cluster.replicas[0].node;
    assert!(!node.drain(shard, Duration::from_millis(20)).await);
    drop(gate);
    assert_eq!(
        slow.await.expect("no panic").expect("done").order.version(),
        Version(3)
    );
    assert!(node.owned().iter().any(|(owned, _)| *owned == shard));
    let on = execute(order, Command::advance(Status::InTransit));
    node.execute(on).await.expect("goes on");

    // Nothing is handed over while an append is under way.
    let gate = cluster.journal.hold_appends();
    let slow = {
        let cluster = Arc::clone(&cluster);
        let step = Command::advance(Status::Delivered);
        tokio::spawn(async move { cluster.command(0, order, step).await })
    };
    until("an append is under way", || {
        cluster.journal.held_appends() > 0
    })
    .await;
    let draining = {
        let node = Arc::clone(node);
        tokio::spawn(async move { node.drain(shard, LIMIT).await })
    };
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!draining.is_finished());
    drop(gate);
    assert!(draining.await.expect("no panic"));
    slow.await.expect("no panic").expect("finished first");
}

/// Whatever was decided before a break is no longer written, also if the shard is back.
#[tokio::test]
async fn what_was_decided_in_one_tenure_is_not_written_in_the_next() {
    let cluster = Cluster::new().await;
    let shard = cluster.shard_of(cluster.confirmed(0).await);
    let ownership = Arc::clone(cluster.replicas[0].node.ownership());
    let (_, before) = ownership.state(shard);
    assert!(ownership.epoch_in(shard, before).is_ok());
    assert!(ownership.speaks(shard, before));
    // Resumed under a new epoch without a break.
    cluster.take(shard, 0).await;
    assert!(ownership.epoch_in(shard, before).is_ok());
    // Handed over and back.
    cluster.hand_over(shard, 0, 1).await;
    assert!(!ownership.speaks(shard, before));
    cluster.hand_over(shard, 1, 0).await;
    assert!(ownership.epoch(shard).is_some());
    assert!(ownership.epoch_in(shard, before).is_err());
    assert!(!ownership.speaks(shard, before));
}

#[tokio::test]
async fn what_a_released_shard_knew_of_failures_goes_with_it() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let node = &cluster.replicas[0].node;
    cluster.hand_over(cluster.shard_of(order), 0, 1).await;
    let report = node.inspect(order).await;
    assert!(matches!(report, Err(OrdersError::NotOwner)), "{report:?}");
    let shard = cluster.shard_of(order);
    assert!(!node.drain(shard, LIMIT).await, "not its to drain");
    let key = cluster.key_on(shard);
    let placed = node.place(request(Some(&key))).await;
    assert!(matches!(placed, Err(OrdersError::NotOwner)), "{placed:?}");
}
