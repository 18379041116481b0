//! Group commit and what follows a failed or lost append.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use trackops::actors::Settings;
use trackops::model::order_request::PlaceKey;
use trackops::model::orders_error::OrdersError;
use trackops::ports::orders::{Orders, OrdersExt};
use trackops_cluster::membership::{Membership as _, NodeId};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::status::Status;
use uuid::Uuid;

use super::rig::{Rig, execute, request, settings};
use crate::doubles::journal::Fault;
use crate::doubles::membership::{Call, Fault as ClaimFault};
use crate::doubles::session::Recorder;

#[tokio::test]
async fn appends_that_arrive_during_a_commit_ride_in_the_next() {
    let rig = Rig::new(Settings {
        commit_queues: 1,
        ..settings()
    })
    .await;
    join_all((0..300).map(|_| rig.place())).await;
    let batches = rig.journal.0.lock().batches.clone();
    assert_eq!(batches.iter().sum::<usize>(), 300);
    assert!(
        batches.len() < 100,
        "no grouping: {} appends",
        batches.len()
    );
}

/// Appends that come one by one gather; the first after a pause waits for nothing.
#[tokio::test(start_paused = true)]
async fn a_lane_begins_no_two_commits_within_its_pace() {
    let settings = Settings {
        commit_queues: 1,
        ..settings()
    };
    let rig = Rig::new(settings).await;
    let began = Instant::now();
    rig.place().await;
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "the first waits for nothing"
    );
    let one_by_one = (1..4).map(async |ms| {
        // Of the paused clock.
        tokio::time::sleep(Duration::from_millis(ms)).await;
        rig.place().await
    });
    join_all(one_by_one).await;
    assert_eq!(began.elapsed(), Duration::from_millis(5));
    assert_eq!(rig.journal.0.lock().batches, [1, 3]);
    // Of the paused clock.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    rig.place().await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nor does it after a pause");
    // A load is no commit, and neither waits for one nor makes one wait.
    let unknown = rig.command(OrderId(Uuid::nil()), Command::StockReserved);
    assert!(matches!(unknown.await, Err(OrdersError::NotFound)));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_bad_row_fails_alone() {
    let rig = Arc::new(
        Rig::new(Settings {
            commit_queues: 1,
            ..settings()
        })
        .await,
    );
    let key = "the culprit";
    rig.journal.0.lock().poison = Some(trackops::model::order_request::keyed_order_id(
        &Caller::anonymous(),
        key,
    ));
    let good = join_all((0..99).map(|_| rig.node.place(request(None))));
    let (good, bad) = tokio::join!(good, rig.node.place(request(Some(key))));
    assert!(
        good.iter().all(Result::is_ok),
        "a neighbour of the bad row failed"
    );
    assert!(matches!(bad, Err(OrdersError::Broken { .. })), "{bad:?}");
    assert!(
        rig.journal.0.lock().batches.iter().any(|rows| *rows > 1),
        "never in one batch: the test shows nothing"
    );
}

/// The claim that settles may be lost too: then the epoch has moved on without anybody knowing.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_looked_for() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    let looks = rig.membership.calls(Call::View);
    let faults = [ClaimFault::AnswerLost, ClaimFault::Unavailable];
    rig.membership.script(Call::Claim, &faults);
    rig.journal.script(&[Fault::AnswerLost]);
    let done = rig.command(order, Command::StockReserved).await;
    assert_eq!(done.expect("it happened").order.version(), Version(2));
    assert!(rig.membership.calls(Call::View) > looks);
    // And it is written under the epoch that the authority has.
    let next = rig.command(order, Command::advance(Status::Preparing));
    next.await.expect("the shard is settled");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_was_taken_meanwhile_is_not_claimed_back() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    let (other, day) = (NodeId("other".into()), Duration::from_secs(86_400));
    let its = rig.membership.join(&other, "x:1", day).await;
    let its = its.expect("free");
    let view = rig.membership.truth();
    let all: Vec<_> = view.shards.iter().map(|s| (s.shard, s.epoch)).collect();
    let (from, life) = view.shards[0].owner.clone().expect("the rig's node");
    let taken = rig.membership.take_over(&other, its, (&from, life), &all);
    assert_eq!(taken.await.expect("all are offered").len(), all.len());

    rig.journal.script(&[Fault::RequestLost]);
    let refused = rig.command(order, Command::StockReserved).await;
    assert!(
        matches!(refused, Err(OrdersError::Unavailable { .. })),
        "{refused:?}"
    );
    let claims = rig.membership.calls(Call::Claim);
    // Of the paused clock, in which a next attempt would show.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.membership.calls(Call::Claim), claims, "it has given up");
    let owners = rig.membership.truth();
    assert!(
        owners
            .shards
            .iter()
            .all(|shard| shard.owner == Some((other.clone(), its)))
    );
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_found_again() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    rig.command(order, Command::StockReserved)
        .await
        .expect("confirmed");
    let epochs = rig.journal.0.lock().epochs.clone();

    rig.journal.script(&[Fault::AnswerLost]);
    let done = rig
        .command(order, Command::advance(Status::Preparing))
        .await
        .expect("it happened, and is a success");
    assert_eq!(
        (done.order.status(), done.order.version()),
        (Status::Preparing, Version(3))
    );
    assert_ne!(rig.journal.0.lock().epochs, epochs, "settled by a claim");
    assert_eq!(
        rig.journal.statuses(order),
        ["PENDING", "CONFIRMED", "PREPARING"]
    );
}

#[tokio::test]
async fn an_append_that_was_lost_is_no_success_and_may_be_tried_again() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    rig.command(order, Command::StockReserved)
        .await
        .expect("confirmed");

    rig.journal.script(&[Fault::RequestLost]);
    let again = execute(order, Command::advance(Status::Preparing));
    let lost = rig.node.execute(again.clone()).await;
    assert!(
        matches!(lost, Err(OrdersError::Unavailable { .. })),
        "{lost:?}"
    );
    assert_eq!(rig.journal.statuses(order), ["PENDING", "CONFIRMED"]);
    let done = rig.node.execute(again).await.expect("the retry");
    assert_eq!(done.order.status(), Status::Preparing);
}

#[tokio::test]
async fn a_lost_placement_is_one_order_however_it_ends() {
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Unavailable] {
        let rig = Rig::new(settings()).await;
        rig.journal.script(&[fault]);
        let first = rig.node.place(request(Some("key"))).await;
        assert_eq!(
            first.is_ok(),
            fault == Fault::AnswerLost,
            "{fault:?}: {first:?}"
        );
        let second = rig
            .node
            .place(request(Some("key")))
            .await
            .expect("the retry");
        assert_eq!(second.order.version(), Version::FIRST);
        assert_eq!(
            rig.journal.statuses(second.order.id),
            ["PENDING"],
            "{fault:?}"
        );
        assert_eq!(rig.journal.0.lock().outbox.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_idempotency_key_names_one_order() {
    let rig = Rig::new(settings()).await;
    let (one, two) = tokio::join!(
        rig.node.place(request(Some("k"))),
        rig.node.place(request(Some("k")))
    );
    let (one, two) = (one.expect("placed"), two.expect("placed"));
    assert_eq!(one.order.id, two.order.id);
    assert!(one.replayed ^ two.replayed, "one of them is the first");
    rig.command(one.order.id, Command::StockReserved)
        .await
        .expect("confirmed");
    let late = rig.node.place(request(Some("k"))).await.expect("a repeat");
    assert_eq!(
        (late.order.status(), late.replayed),
        (Status::Pending, true),
        "as it was placed"
    );
    let mut other = request(Some("k"));
    other.key = other.key.map(|key| PlaceKey {
        body: [8; 32],
        ..key
    });
    assert!(matches!(
        rig.node.place(other).await,
        Err(OrdersError::KeyReused)
    ));
}

#[tokio::test]
async fn a_known_command_is_answered_before_it_is_judged() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    rig.command(order, Command::StockReserved)
        .await
        .expect("confirmed");
    let mut preparing = execute(order, Command::advance(Status::Preparing));
    preparing.if_match = Some(vec![Version(2)]);
    rig.node.execute(preparing.clone()).await.expect("first");
    rig.command(order, Command::advance(Status::InTransit))
        .await
        .expect("on");
    let again = rig
        .node
        .execute(preparing)
        .await
        .expect("neither 412 nor 409");
    assert!(again.replayed);
    assert_eq!(
        (again.order.status(), again.order.version()),
        (Status::Preparing, Version(3))
    );

    // A keyed success without a change is remembered too.
    let mut same = execute(order, Command::advance(Status::InTransit));
    same.keyed = true;
    rig.node.execute(same.clone()).await.expect("nothing to do");
    rig.command(order, Command::advance(Status::Delivered))
        .await
        .expect("done");
    let again = rig.node.execute(same).await.expect("a success stays one");
    assert_eq!(
        (again.order.status(), again.replayed),
        (Status::InTransit, true)
    );
}

#[tokio::test]
async fn without_its_lease_a_replica_answers_nothing_from_memory() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    rig.lease.end();
    let unavailable =
        |what: &str, failed: bool| assert!(failed, "{what} was answered without the lease");
    let read = rig.node.read(order, &Caller::anonymous()).await;
    unavailable("a read", matches!(read, Err(OrdersError::LeaseOver)));
    let refusal = rig
        .command(order, Command::advance(Status::Delivered))
        .await;
    unavailable("a refusal", matches!(refusal, Err(OrdersError::LeaseOver)));
    let same = rig.command(order, Command::StockReleased).await;
    unavailable(
        "a step without a change",
        matches!(same, Err(OrdersError::LeaseOver)),
    );
    let session = Arc::new(Recorder::default());
    let snapshot = rig.node.subscribe(order, None, session).await;
    unavailable(
        "a snapshot",
        matches!(snapshot, Err(OrdersError::LeaseOver)),
    );
}

#[tokio::test]
async fn an_append_under_an_old_epoch_is_fenced() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    let shard = rig.ownership.shard_of(order);
    *rig.journal
        .0
        .lock()
        .epochs
        .get_mut(&shard)
        .expect("claimed") += 1;
    let fenced = rig.command(order, Command::StockReserved).await;
    assert!(matches!(fenced, Err(OrdersError::NotOwner)), "{fenced:?}");
    assert_eq!(rig.journal.statuses(order), ["PENDING"]);
    let after = rig.command(order, Command::StockReserved).await;
    assert!(
        matches!(after, Err(OrdersError::NotOwner)),
        "it knows that the shard is gone"
    );
}

#[tokio::test]
async fn what_was_admitted_is_finished_on_shutdown() {
    let rig = Rig::new(settings()).await;
    let placing = join_all((0..50).map(|_| rig.node.place(request(None))));
    let (placed, ()) = tokio::join!(placing, async {
        tokio::task::yield_now().await;
        rig.node.shut_down(Duration::from_secs(5)).await;
    });
    let stored = rig.journal.0.lock().outbox.len();
    assert_eq!(
        placed.iter().filter(|placed| placed.is_ok()).count(),
        stored,
        "acknowledged is stored, and no more"
    );
}

#[tokio::test]
async fn a_version_that_the_journal_has_lost_moves_the_counters() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // The runtime of this test has one thread, so everything counts here.
    let _here = metrics::set_default_local_recorder(&recorder);
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    rig.command(order, Command::StockReserved)
        .await
        .expect("confirmed");
    rig.journal.lose_last(order);
    let conflict = rig
        .command(order, Command::advance(Status::Preparing))
        .await;
    assert!(
        matches!(conflict, Err(OrdersError::Restarted)),
        "{conflict:?}"
    );
    let metrics = handle.render();
    for id in ["I1", "I3"] {
        let line = format!("trackops_invariant_violations_total{{invariant=\"{id}\"}} 1");
        assert!(metrics.contains(&line), "{id}: {metrics}");
    }
    let done = rig
        .command(order, Command::StockReserved)
        .await
        .expect("goes on from what is stored");
    assert_eq!(done.order.version(), Version(2));
}
