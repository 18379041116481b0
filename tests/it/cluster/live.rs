//! Live subscriptions by way of a replica that doesn't own the order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Duration, Instant};
use trackops::model::orders_error::OrdersError;
use trackops::ports::live::{LiveHub as _, LiveListener};
use trackops::ports::orders::{Orders, OrdersExt};
use trackops_cluster::lease::LeaseTiming;
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::status::Status;

use super::rig::{Cluster, until};
use crate::actors::rig::execute;
use crate::doubles::session::Recorder;

impl Cluster {
    async fn listen(&self, at: usize, order: OrderId, since: Option<u32>) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        self.replicas[at]
            .router
            .subscribe(order, since.map(Version), recorder.clone())
            .await
            .expect("subscribed");
        recorder
    }
}

async fn seen(recorder: &Recorder, expected: &[(bool, u32)]) {
    let what = format!("{expected:?}");
    let is_there = || recorder.0.lock().len() >= expected.len();
    until(&what, is_there).await;
    assert_eq!(*recorder.0.lock(), expected);
}

#[tokio::test]
async fn a_subscription_goes_to_the_owner_once() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let first = cluster.listen(1, order, None).await;
    let second = cluster.listen(1, order, Some(1)).await;
    let third = cluster.listen(2, order, Some(2)).await;
    assert_eq!(cluster.replicas[1].router.mirrored(), 1);
    assert_eq!(cluster.replicas[0].router.watched_by_others(), 2);
    for step in [Status::Preparing, Status::InTransit] {
        let done = cluster.command(2, order, Command::advance(step)).await;
        done.expect("on");
    }
    seen(&first, &[(true, 2), (false, 3), (false, 4)]).await;
    seen(&second, &[(false, 2), (false, 3), (false, 4)]).await;
    seen(&third, &[(false, 3), (false, 4)]).await;

    // The last one leaves: the owner hears of it.
    cluster.replicas[1].hub.detach(order, first.id());
    cluster.replicas[1].hub.detach(order, second.id());
    until("unwatched", || {
        cluster.replicas[0].router.watched_by_others() == 1
    })
    .await;
    assert_eq!(cluster.replicas[1].router.mirrored(), 0);
    // And comes back.
    let again = cluster.listen(1, order, Some(3)).await;
    let done = cluster
        .command(0, order, Command::advance(Status::Delivered))
        .await;
    done.expect("on");
    seen(&again, &[(false, 4), (false, 5)]).await;
    seen(&third, &[(false, 3), (false, 4), (false, 5)]).await;
}

#[tokio::test]
async fn a_new_listener_never_begins_behind_what_was_acknowledged() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let _first = cluster.listen(1, order, None).await;
    // What the owner tells is not there yet when the next one comes.
    cluster.network.mute.store(true, Ordering::SeqCst);
    let done = cluster
        .command(2, order, Command::advance(Status::Preparing))
        .await;
    done.expect("on");
    let second = cluster.listen(1, order, None).await;
    assert_eq!(*second.0.lock(), [(true, 3)]);
    let done = cluster
        .command(2, order, Command::advance(Status::InTransit))
        .await;
    done.expect("on");
    let ahead = cluster.listen(1, order, Some(4)).await;
    assert_eq!(*ahead.0.lock(), [], "no snapshot of something older");
    let unknown = cluster.replicas[1]
        .router
        .subscribe(OrderId(uuid::Uuid::now_v7()), None, ahead.clone())
        .await;
    assert!(unknown.is_err(), "{unknown:?}");
    until("nobody watches an unknown order", || {
        cluster.replicas[1].router.mirrored() == 1
    })
    .await;
}

#[tokio::test]
async fn subscriptions_follow_a_move() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let shard = cluster.shard_of(order);
    // At the old owner, at the next one, and at neither.
    let listeners = [
        cluster.listen(0, order, Some(1)).await,
        cluster.listen(1, order, Some(1)).await,
        cluster.listen(2, order, Some(1)).await,
    ];
    cluster.hand_over(shard, 0, 1).await;
    let step = |step| cluster.command(2, order, Command::advance(step));
    step(Status::Preparing).await.expect("on");
    for listener in &listeners {
        seen(listener, &[(false, 2), (false, 3)]).await;
    }
    assert_eq!(cluster.replicas[1].router.mirrored(), 0, "it is the owner");
    // And back, without a moment for anybody to catch up.
    step(Status::InTransit).await.expect("on");
    cluster.hand_over(shard, 1, 0).await;
    step(Status::Delivered).await.expect("on");
    for listener in &listeners {
        seen(listener, &[(false, 2), (false, 3), (false, 4), (false, 5)]).await;
    }
}

/// `c` has heard nothing of the move but from the old owner.
#[tokio::test]
async fn the_old_owner_tells_its_watchers_of_a_move() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let far = cluster.listen(2, order, Some(2)).await;
    cluster.hand_over(cluster.shard_of(order), 0, 1).await;
    let step = execute(order, Command::advance(Status::Preparing));
    cluster.replicas[1].node.execute(step).await.expect("on");
    seen(&far, &[(false, 3)]).await;
    until("nobody watches at the old owner", || {
        cluster.replicas[0].router.watched_by_others() == 0
    })
    .await;
}

/// The old owner is alive, and doesn't know that it is none: only the directory says so.
#[tokio::test]
async fn the_directory_tells_watchers_of_a_new_owner() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let far = cluster.listen(2, order, Some(2)).await;
    cluster.take(cluster.shard_of(order), 1).await;
    cluster.tell_all();
    let step = execute(order, Command::advance(Status::Preparing));
    cluster.replicas[1].node.execute(step).await.expect("on");
    seen(&far, &[(false, 3)]).await;
}

#[tokio::test]
async fn subscriptions_survive_the_loss_of_the_owner() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let shard = cluster.shard_of(order);
    cluster.hand_over(shard, 0, 1).await;
    cluster.tell_all();
    let here = cluster.listen(0, order, Some(1)).await;
    let there = cluster.listen(2, order, Some(1)).await;
    // What `b` commits last it can tell nobody any more.
    cluster.kill(1);
    let last = execute(order, Command::advance(Status::Preparing));
    cluster.replicas[1]
        .node
        .execute(last)
        .await
        .expect("committed");
    cluster.tell_all();
    cluster.take(shard, 0).await;
    cluster.tell_all();
    for listener in [&here, &there] {
        seen(listener, &[(false, 2), (false, 3)]).await;
    }
    let done = cluster
        .command(2, order, Command::advance(Status::InTransit))
        .await;
    done.expect("on");
    for listener in [&here, &there] {
        seen(listener, &[(false, 2), (false, 3), (false, 4)]).await;
    }
}

/// A deposed owner's own listeners go on at the next one.
#[tokio::test]
async fn a_deposed_owner_resubscribes_its_own_listeners() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let own = cluster.listen(0, order, Some(1)).await;
    let far = cluster.listen(2, order, Some(1)).await;
    cluster.take(cluster.shard_of(order), 1).await;
    let step = execute(order, Command::advance(Status::Preparing));
    cluster.replicas[1].node.execute(step).await.expect("on");
    // `a` hears of it in passing.
    cluster.replicas[0].node.ownership().suspend_all();
    for listener in [&own, &far] {
        seen(listener, &[(false, 2), (false, 3)]).await;
    }
}

#[tokio::test]
async fn a_cut_link_loses_nothing() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let listener = cluster.listen(1, order, Some(1)).await;
    cluster.network.cut("a", "b");
    let step = |step| cluster.command(0, order, Command::advance(step));
    step(Status::Preparing).await.expect("on");
    // Through `c`, by asking now and then.
    seen(&listener, &[(false, 2), (false, 3)]).await;
    cluster.network.mend("a", "b");
    step(Status::InTransit).await.expect("on");
    step(Status::Delivered).await.expect("on");
    seen(&listener, &[(false, 2), (false, 3), (false, 4), (false, 5)]).await;
}

#[tokio::test]
async fn listeners_at_an_owner_whose_lease_has_run_out_hear_the_next_one() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let listener = cluster.listen(0, order, Some(1)).await;
    cluster.sever(0);
    // Nobody else has the order yet.
    let read = cluster.replicas[0]
        .router
        .read(order, &Caller::anonymous())
        .await;
    assert!(
        matches!(read, Err(OrdersError::Unavailable { .. })),
        "{read:?}"
    );
    cluster.take(cluster.shard_of(order), 1).await;
    let step = |at, step| cluster.command(at, order, Command::advance(step));
    step(1, Status::Preparing).await.expect("by the next one");
    seen(&listener, &[(false, 2), (false, 3)]).await;
    // Whoever asks there is answered by the next one.
    step(0, Status::InTransit).await.expect("forwarded");
    let read = cluster.replicas[0]
        .router
        .read(order, &Caller::anonymous())
        .await;
    assert_eq!(read.expect("forwarded").version, Version(4));
    let late = cluster.listen(0, order, Some(3)).await;
    seen(&late, &[(false, 4)]).await;
    seen(&listener, &[(false, 2), (false, 3), (false, 4)]).await;
}

#[tokio::test]
async fn listeners_hear_on_when_the_lease_comes_back() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let here = cluster.listen(0, order, Some(1)).await;
    let there = cluster.listen(1, order, Some(1)).await;
    let replica = &cluster.replicas[0];
    cluster.sever(0);
    until("it looks for another owner", || {
        replica.router.mirrored() == 1
    })
    .await;
    let timing = LeaseTiming::of(Duration::from_secs(3600));
    replica.lease.renewed(Instant::now(), &timing);
    until("it is the owner still", || replica.router.mirrored() == 0).await;
    let step = |at, step| cluster.command(at, order, Command::advance(step));
    step(2, Status::Preparing).await.expect("forwarded");
    step(0, Status::InTransit).await.expect("its own");
    for listener in [&here, &there] {
        seen(listener, &[(false, 2), (false, 3), (false, 4)]).await;
    }
}
