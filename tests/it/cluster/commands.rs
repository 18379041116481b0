//! Commands and reads by way of a replica that doesn't own the order.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Duration, Instant};
use trackops::model::order_request::{CommandRequest, PlaceKey, command_id};
use trackops::model::orders_error::OrdersError;
use trackops::model::position::Position;
use trackops::ports::orders::OrdersExt as _;
use trackops_cluster::ShardId;
use trackops_cluster::link::Service as _;
use trackops_cluster::membership::{Incarnation, NodeId};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::Version;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::rig::Cluster;
use crate::actors::rig::{execute, located, request};

#[tokio::test]
async fn every_replica_answers_for_every_order() {
    let cluster = Cluster::new().await;
    // `b` owns nothing: the id is drawn there and its order placed at `a`.
    let order = cluster.confirmed(1).await;
    for step in [Status::Preparing, Status::InTransit] {
        let done = cluster.command(1, order, Command::advance(step)).await;
        let done = done.expect("forwarded");
        assert_eq!((done.order.status(), done.replayed), (step, false));
    }
    let position = Position {
        lat: 52.5,
        lon: 13.4,
        at: Timestamp(1_700_000_000_000),
    };
    for router in cluster.replicas.iter().map(|replica| &replica.router) {
        router
            .locate(located(order, position, None))
            .await
            .expect("in transit");
        let read = router
            .read(order, &Caller::anonymous())
            .await
            .expect("read");
        assert_eq!(
            (read.version, read.position, read.age),
            (Version(4), Some(position), None)
        );
        let history = router
            .history(order, &Caller::anonymous())
            .await
            .expect("history");
        assert_eq!(history.order.version(), Version(4));
        assert_eq!(router.inspect(order).await.expect("known").state, "live");
        assert!(!router.release(order).await.expect("known"));
        let illegal = router
            .execute(execute(order, Command::advance(Status::Preparing)))
            .await;
        assert!(
            matches!(illegal, Err(OrdersError::Rejected(_))),
            "{illegal:?}"
        );
    }
    assert_eq!(
        cluster.journal.statuses(order),
        ["PENDING", "CONFIRMED", "PREPARING", "IN_TRANSIT"]
    );
}

#[tokio::test]
async fn a_key_is_one_order_wherever_it_is_sent() {
    let cluster = Cluster::new().await;
    let first = cluster.replicas[2].router.place(request(Some("k"))).await;
    let first = first.expect("placed");
    assert!(!first.replayed);
    for replica in &cluster.replicas {
        let again = replica.router.place(request(Some("k"))).await;
        let again = again.expect("a repeat");
        assert_eq!((again.order.id, again.replayed), (first.order.id, true));
        let mut other = request(Some("k"));
        other.key = other.key.map(|key| PlaceKey {
            body: [8; 32],
            ..key
        });
        let reused = replica.router.place(other).await;
        assert!(matches!(reused, Err(OrdersError::KeyReused)), "{reused:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_a_success_in_the_end() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(1).await;
    cluster.network.lose_answer(async {});
    let mut preparing = execute(order, Command::advance(Status::Preparing));
    preparing.if_match = Some(vec![Version(2)]);
    let done = cluster.replicas[1].router.execute(preparing).await;
    let done = done.expect("neither 409 nor 412");
    assert_eq!((done.order.version(), done.replayed), (Version(3), false));
    assert_eq!(
        cluster.journal.statuses(order),
        ["PENDING", "CONFIRMED", "PREPARING"],
        "once"
    );

    cluster.network.lose_answer(async {});
    let placed = cluster.replicas[1].router.place(request(None)).await;
    let placed = placed.expect("placed");
    assert!(!placed.replayed);
    assert_eq!(cluster.journal.statuses(placed.order.id), ["PENDING"]);
}

/// The first attempt is answered by the old owner, whose answer is lost; then others move the order
/// on, and the order moves; the next owner answers the second attempt.
#[tokio::test]
async fn a_lost_answer_stays_a_success_after_a_move() {
    let cluster = Arc::new(Cluster::new().await);
    let order = cluster.confirmed(0).await;
    let same = cluster
        .command(0, order, Command::advance(Status::Preparing))
        .await;
    assert_eq!(same.expect("on").order.version(), Version(3));
    let meanwhile = {
        let cluster = Arc::clone(&cluster);
        async move {
            let on = Command::advance(Status::InTransit);
            cluster.command(0, order, on).await.expect("on");
            cluster.hand_over(cluster.shard_of(order), 0, 2).await;
        }
    };
    cluster.network.lose_answer(meanwhile);
    // Changes nothing, and would be illegal after the next step.
    let done = cluster
        .command(1, order, Command::advance(Status::Preparing))
        .await;
    let done = done.expect("a success stays one");
    assert_eq!(
        (done.order.status(), done.replayed),
        (Status::Preparing, false)
    );
}

#[tokio::test]
async fn a_deposed_owner_says_so_and_the_caller_gets_the_success() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    // `b` has the shard now; `a` and `c` haven't heard.
    cluster.take(cluster.shard_of(order), 1).await;
    let fenced = cluster.replicas[0]
        .node
        .execute(execute(order, Command::advance(Status::Preparing)))
        .await;
    assert!(matches!(fenced, Err(OrdersError::NotOwner)), "{fenced:?}");
    let read = cluster.replicas[0]
        .node
        .read(order, &Caller::anonymous())
        .await;
    assert!(matches!(read, Err(OrdersError::NotOwner)), "{read:?}");
    let done = cluster
        .command(2, order, Command::advance(Status::Preparing))
        .await;
    assert_eq!(done.expect("by the new owner").order.version(), Version(3));

    let other = cluster.confirmed(0).await;
    cluster.take(cluster.shard_of(other), 1).await;
    let done = cluster
        .command(0, other, Command::advance(Status::Preparing))
        .await;
    assert_eq!(done.expect("sent on").order.version(), Version(3));
}

/// What an actor knows from before its replica lost the shard counts no more when it is back.
#[tokio::test]
async fn what_was_loaded_before_a_break_is_loaded_again() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    let shard = cluster.shard_of(order);
    cluster.take(shard, 1).await;
    cluster.replicas[1]
        .node
        .execute(execute(order, Command::advance(Status::Preparing)))
        .await
        .expect("by the new owner");
    // `a` finds out only by the fence, and then gets the shard back.
    let fenced = cluster.replicas[0]
        .node
        .execute(execute(order, Command::advance(Status::Preparing)))
        .await;
    assert!(matches!(fenced, Err(OrdersError::NotOwner)), "{fenced:?}");
    cluster.take(shard, 0).await;
    let read = cluster.replicas[0]
        .node
        .read(order, &Caller::anonymous())
        .await;
    assert_eq!(read.expect("read").version, Version(3));
    let on = cluster.replicas[0]
        .node
        .execute(execute(order, Command::advance(Status::InTransit)))
        .await;
    assert_eq!(on.expect("on").order.version(), Version(4));
}

#[tokio::test]
async fn an_owner_that_cannot_be_reached_is_reached_through_a_third() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    cluster.network.cut("a", "b");
    let done = cluster
        .command(1, order, Command::advance(Status::Preparing))
        .await;
    assert_eq!(done.expect("through c").order.version(), Version(3));
    assert_eq!(
        cluster.replicas[1]
            .router
            .read(order, &Caller::anonymous())
            .await
            .expect("read")
            .version,
        Version(3)
    );
}

#[tokio::test(start_paused = true)]
async fn without_an_owner_the_caller_is_sent_away_in_time() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    cluster.kill(0);
    cluster.tell_all();
    let started = Instant::now();
    let nobody = cluster
        .command(1, order, Command::advance(Status::Preparing))
        .await;
    assert!(matches!(nobody, Err(OrdersError::NotOwner)), "{nobody:?}");
    assert!(started.elapsed() < Duration::from_secs(9));
    // Found as soon as there is one.
    cluster.take(cluster.shard_of(order), 2).await;
    let done = cluster
        .command(1, order, Command::advance(Status::Preparing))
        .await;
    assert_eq!(done.expect("by c").order.version(), Version(3));
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_not_passed_on() {
    let cluster = Cluster::new().await;
    let from = (NodeId("z".into()), Incarnation(1));
    let deadline = Instant::now() + Duration::from_secs(5);
    for text in [r#"{"v":1,"kind":"teleport","body":{}}"#, "[]", ""] {
        let answer = cluster.replicas[0]
            .router
            .call(&from, Bytes::from_static(text.as_bytes()), deadline)
            .await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains("notUnderstood"), "{answer}");
    }
    // A request reaches a replica that isn't the owner: refused with the owner's name, in no hop.
    let key = cluster.key_on(ShardId(0));
    let order = trackops::model::order_request::keyed_order_id(&Caller::anonymous(), &key);
    let text = format!(r#"{{"v":1,"kind":"read","body":{{"order":"{order}"}}}}"#);
    let calls = *cluster.network.calls.lock();
    let answer = cluster.replicas[1]
        .router
        .call(&from, Bytes::from(text), deadline)
        .await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains(r#""node":"a""#), "{answer}");
    assert_eq!(*cluster.network.calls.lock(), calls);
}

#[tokio::test]
async fn a_messages_id_is_taken_at_its_word_here_and_elsewhere() {
    for at in [0, 1] {
        let cluster = Cluster::new().await;
        let order = cluster.confirmed(0).await;
        let message = |id: &str, step| CommandRequest {
            id: command_id(&Caller::anonymous(), order, id),
            ..execute(order, Command::advance(step))
        };
        let router = &cluster.replicas[at].router;
        let execute = |id, step| router.execute(message(id, step));
        execute("one", Status::Preparing).await.expect("a step");
        let again = execute("one", Status::InTransit).await.expect("known");
        assert_eq!((again.replayed, again.order.version()), (true, Version(3)));
        // One that changed nothing isn't known at all.
        execute("two", Status::Preparing).await.expect("no change");
        let done = execute("two", Status::InTransit).await.expect("a step");
        assert_eq!((done.replayed, done.order.version()), (false, Version(4)));
    }
}

#[tokio::test]
async fn what_one_owner_lacks_is_told_from_what_this_replica_lacks() {
    let cluster = Cluster::new().await;
    let order = cluster.confirmed(0).await;
    cluster.sever(0);
    let there = cluster.replicas[1]
        .router
        .read(order, &Caller::anonymous())
        .await;
    assert!(
        matches!(there, Err(OrdersError::OwnerUnavailable { .. })),
        "{there:?}"
    );
    let here = cluster.replicas[0]
        .router
        .read(order, &Caller::anonymous())
        .await;
    assert!(
        matches!(here, Err(OrdersError::Unavailable { .. })),
        "{here:?}"
    );
    // Without a lease of its own it can't tell whose trouble it is.
    cluster.sever(1);
    let there = cluster.replicas[1]
        .router
        .read(order, &Caller::anonymous())
        .await;
    assert!(
        matches!(there, Err(OrdersError::Unavailable { .. })),
        "{there:?}"
    );
}
