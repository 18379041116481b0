//! Failing orders, idle orders, busy orders.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use trackops::actors::Settings;
use trackops::model::orders_error::{Full, OrdersError};
use trackops::ports::orders::{Orders, OrdersExt};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::Version;
use trackops_domain::status::Status;

use super::rig::{Rig, fail, quarantine, request, settings, until_live};
use crate::doubles::session::Recorder;

#[tokio::test]
async fn a_failed_order_restarts_and_its_neighbours_notice_nothing() {
    let rig = Rig::new(settings()).await;
    let (order, neighbour) = (rig.place().await, rig.place().await);
    fail(&rig.node, order).await;
    rig.command(neighbour, Command::StockReserved)
        .await
        .expect("the neighbour goes on");
    until_live(&rig.node, order).await;
    let done = rig
        .command(order, Command::StockReserved)
        .await
        .expect("restarted from the journal");
    assert_eq!(done.order.version(), Version(2));
    let report = rig.node.inspect(order).await.expect("known");
    assert_eq!(report.restarts, 1);
    assert!(
        report
            .last_error
            .is_some_and(|(error, _)| error.contains("explodes"))
    );
}

#[tokio::test]
async fn five_failures_quarantine_until_released() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    quarantine(&rig.node, order).await;
    let refused = rig.command(order, Command::StockReserved).await;
    assert!(
        matches!(refused, Err(OrdersError::Quarantined)),
        "{refused:?}"
    );
    assert!(rig.node.release(order).await.expect("released"));
    assert!(
        !rig.node.release(order).await.expect("known"),
        "released once"
    );
    rig.command(order, Command::StockReserved)
        .await
        .expect("works again");
}

#[tokio::test]
async fn a_passivated_order_costs_an_actor_only_when_it_is_wanted() {
    let rig = Rig::new(Settings {
        passivate_live: Duration::from_millis(100),
        passivate_final: Duration::from_millis(100),
        ..settings()
    })
    .await;
    let order = rig.place().await;
    let session = Arc::new(Recorder::default());
    rig.node
        .subscribe(order, None, session.clone())
        .await
        .expect("subscribed");
    tokio::time::timeout(Duration::from_secs(20), async {
        while rig.node.inspect(order).await.expect("known").state != "passive" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("passivated");
    assert_eq!(
        rig.node
            .read(order, &Caller::anonymous())
            .await
            .expect("from cache or journal")
            .version,
        Version(1)
    );
    assert_eq!(
        rig.node.inspect(order).await.expect("known").state,
        "passive",
        "a read wakes nothing"
    );
    rig.command(order, Command::StockReserved)
        .await
        .expect("woken");
    tokio::time::timeout(Duration::from_secs(10), async {
        while session.0.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the subscription outlives the actor");
    assert_eq!(*session.0.lock(), [(true, 1), (false, 2)]);
}

fn is_full<T>(result: &Result<T, OrdersError>, wanted: Full) -> bool {
    matches!(result, Err(OrdersError::Overloaded { full, .. }) if *full == wanted)
}

#[tokio::test]
async fn too_many_for_one_order_are_refused_at_once() {
    let rig = Rig::new(Settings {
        order_waiting_max: 8,
        ..settings()
    })
    .await;
    let order = rig.place().await;
    let results =
        join_all((0..64).map(|_| rig.command(order, Command::advance(Status::Delivered)))).await;
    let overloaded = results.iter().filter(|r| is_full(r, Full::Order)).count();
    let refused = results
        .iter()
        .filter(|r| matches!(r, Err(OrdersError::Rejected(_))))
        .count();
    assert_eq!(overloaded + refused, 64);
    assert!(
        overloaded > 0 && refused >= 8,
        "{overloaded} overloaded, {refused} refused"
    );
    assert!(
        rig.node.place(request(None)).await.is_ok(),
        "other orders go on"
    );
}

#[tokio::test]
async fn a_journal_that_is_away_is_no_failure_of_the_order() {
    let rig = Rig::new(Settings {
        passivate_live: Duration::from_millis(1),
        ..settings()
    })
    .await;
    let order = trackops::model::order_request::keyed_order_id(&Caller::anonymous(), "cold");
    rig.journal.0.lock().loads_fail = true;
    for _ in 0..10 {
        let failed = rig.command(order, Command::StockReserved).await;
        assert!(
            matches!(failed, Err(OrdersError::Unavailable { .. })),
            "{failed:?}"
        );
    }
    rig.journal.0.lock().loads_fail = false;
    let missing = rig.command(order, Command::StockReserved).await;
    assert!(
        matches!(missing, Err(OrdersError::NotFound)),
        "not quarantined: {missing:?}"
    );
}
