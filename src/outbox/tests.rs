//! The relay between an outbox and a bus that fail at chosen calls: first occurrences stay in order,
//! and nothing is lost. The clock is paused.

mod doubles;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::doubles::{Answer, Log, Store, order};
use super::{Relay, RelaySettings};
use crate::ports::bus::Bus;
use crate::ports::outbox::{OUTBOX_LANES, Outbox};

fn start(store: &Arc<Store>, log: &Arc<Log>, holder: &str) -> (JoinHandle<()>, CancellationToken) {
    let outboxes = vec![Arc::clone(store) as Arc<dyn Outbox>];
    let bus = Arc::clone(log) as Arc<dyn Bus>;
    let relay = Relay::new(outboxes, bus, RelaySettings::default(), holder.to_owned());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    (tokio::spawn(async move { relay.run(stopped).await }), stop)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_mins(10);
    while !done() {
        assert!(Instant::now() < limit, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Lost messages, lost acknowledgements, an outbox that fails, rows that become visible out of order,
/// two relays and a kill: at least once, and first occurrences in order.
#[tokio::test(start_paused = true)]
async fn first_occurrences_stay_in_order_and_nothing_is_lost() {
    for seed in 1..=20_u64 {
        let store = Store::new("orders");
        let log = Log::new(
            move |n, _| match (n.wrapping_mul(seed * 2 + 1) ^ (n >> 3)) % 7 {
                0 => Answer::Lost,
                1 => Answer::AckLost,
                _ => Answer::Taken,
            },
        );
        store.fail_every(5);
        let (one, _) = start(&store, &log, "one");
        let (two, stop) = start(&store, &log, "two");
        let orders: Vec<_> = (0..60).map(|_| order()).collect();
        for version in 1..=4_u32 {
            for id in &orders {
                // The two messages of a version become visible in either order.
                let rows = if seed % 2 == 0 { [0, 1] } else { [1, 0] };
                store.insert(*id, version, &rows);
            }
            sleep(Duration::from_millis(seed * 7)).await;
            if version == 2 {
                one.abort();
            }
        }
        until("an empty outbox", || store.is_empty()).await;
        log.check(&orders, 4);
        stop.cancel();
        two.await.expect("no panic");
    }
}

/// A message that the bus will never take goes to the dead letters with its reason, and its order goes
/// on; if that fails too, its order waits and the others don't.
#[tokio::test(start_paused = true)]
async fn refused_messages_become_dead_letters() {
    let (bad, stuck, good) = (order(), order(), order());
    let store = Store::new("orders");
    let log = Log::new(move |_, message| {
        let of = |id| message.key == format!("{id}");
        let first = message.version == 1;
        if (of(bad) && first && !message.is_dead_letter()) || (of(stuck) && first) {
            Answer::Refused
        } else {
            Answer::Taken
        }
    });
    for id in [bad, stuck, good] {
        store.insert(id, 1, &[0]);
        store.insert(id, 2, &[0]);
    }
    let outboxes = vec![Arc::clone(&store) as Arc<dyn Outbox>];
    let settings = RelaySettings::default();
    let relay = Relay::new(outboxes, Arc::clone(&log) as _, settings, "one".to_owned());
    let (relay, stop) = (Arc::new(relay), CancellationToken::new());
    let (running, stopped) = (Arc::clone(&relay), stop.clone());
    let running = tokio::spawn(async move { running.run(stopped).await });
    until("all but the stuck order", || store.len() == 2).await;
    let reports = relay.stats().await;
    let [report] = reports.as_slice() else {
        panic!("one outbox: {reports:?}");
    };
    assert_eq!(
        (report.outbox, report.lanes.len()),
        ("orders", OUTBOX_LANES.into())
    );
    assert_eq!((report.published, report.parked), (3, 1), "{report:?}");
    assert!(report.failures > 0, "{report:?}");
    assert_eq!(
        report.waiting.as_ref().map(|waiting| waiting.pending),
        Some(2)
    );
    store.fail_every(1);
    sleep(Duration::from_secs(10)).await;
    assert!(relay.stats().await[0].last_error.is_some());
    assert_eq!(store.len(), 2, "kept");
    assert_eq!(log.of(good), ["ORDER_CREATED/1", "ORDER_STATUS_UPDATED/2"]);
    assert_eq!(
        log.of(bad),
        ["ORDER_CREATED.dlq/1", "ORDER_STATUS_UPDATED/2"]
    );
    assert_eq!(log.of(stuck), Vec::<String>::new());
    let letter = log.dead_letter(bad);
    assert_eq!(letter.header("dlq_topic"), Some("ORDER_CREATED"));
    assert!(
        letter
            .header("dlq_reason")
            .is_some_and(|why| why.contains("too large"))
    );
    assert_eq!(letter.header("ce_orderversion"), Some("1"));
    stop.cancel();
    running.await.expect("no panic");
}

/// A relay that can't renew its leases publishes nothing once they may have ended, and goes on when
/// it can again.
#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_is_published() {
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    let (running, stop) = start(&store, &log, "one");
    store.insert(order(), 1, &[0]);
    until("published", || store.is_empty()).await;

    store.refuse_leases(true);
    sleep(RelaySettings::default().lease).await;
    store.insert(order(), 1, &[0]);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((store.len(), log.len()), (1, 1));

    store.refuse_leases(false);
    until("published", || store.is_empty()).await;
    stop.cancel();
    running.await.expect("no panic");
}

/// At a stop the rows in flight arrive and are removed, nothing more is published, and the leases are
/// free at once.
#[tokio::test(start_paused = true)]
async fn a_stop_lets_arrive_what_is_on_its_way() {
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    log.take_time(Duration::from_millis(500));
    let id = order();
    store.insert(id, 1, &[0]);
    store.insert(id, 2, &[0]);
    let (running, stop) = start(&store, &log, "one");
    sleep(Duration::from_millis(100)).await;
    stop.cancel();
    running.await.expect("no panic");
    assert_eq!(log.of(id), ["ORDER_CREATED/1"]);
    assert_eq!(store.len(), 1);
    assert_eq!(store.holders(), Vec::<String>::new());
}

/// While the bus is away the relay asks ever more rarely; rows wait, and go when it is back.
#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_is_asked_ever_more_rarely() {
    let store = Store::new("inventory");
    let log = Log::new(|n, _| if n < 10 { Answer::Lost } else { Answer::Taken });
    store.insert(order(), 1, &[0]);
    let began = Instant::now();
    let (running, stop) = start(&store, &log, "one");
    until("published", || store.is_empty()).await;
    assert_eq!(log.calls.load(Ordering::SeqCst), 11);
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(10) && took < Duration::from_secs(40),
        "{took:?}"
    );
    stop.cancel();
    running.await.expect("no panic");
}

/// I5: a version that turns up after a higher one was published is counted; a repeat is not.
#[tokio::test(start_paused = true)]
async fn a_version_that_comes_too_late_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    let (running, stop) = start(&store, &log, "one");
    let id = order();
    for version in [1, 3, 1, 3] {
        store.insert(id, version, &[0]);
        until("published", || store.is_empty()).await;
    }
    let text = handle.render();
    assert!(
        !text.contains("trackops_invariant_violations_total"),
        "{text}"
    );
    assert!(
        text.contains("trackops_relay_published_total{topic=\"ORDER_CREATED\"} 2"),
        "{text}"
    );

    store.insert(id, 2, &[0]);
    until("published", || store.is_empty()).await;
    let text = handle.render();
    assert!(
        text.contains("trackops_invariant_violations_total{invariant=\"I5\"} 1"),
        "{text}"
    );
    stop.cancel();
    running.await.expect("no panic");
}

/// A partition without a leader holds up only its own orders: other orders go on, and nothing overtakes a
/// stuck message.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_partition_without_a_leader_but_its_own_rows() {
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    let (stuck, free) = (order(), order());
    log.stick(&[stuck]);
    let (running, stop) = start(&store, &log, "one");
    for version in 1..=4 {
        let began = Instant::now();
        store.insert(stuck, version, &[0]);
        store.insert(free, version, &[0]);
        let published = || log.of(free).len() == version as usize;
        until("the other order's version", published).await;
        assert!(began.elapsed() < Duration::from_millis(100));
    }
    until("only the stuck order waits", || store.len() == 4).await;
    assert_eq!(log.of(stuck), Vec::<String>::new());
    log.stick(&[]);
    until("published", || store.is_empty()).await;
    let versions = [
        "CREATED/1",
        "STATUS_UPDATED/2",
        "STATUS_UPDATED/3",
        "STATUS_UPDATED/4",
    ];
    assert_eq!(log.of(stuck), versions.map(|name| format!("ORDER_{name}")));
    stop.cancel();
    running.await.expect("no panic");
}

/// A burst goes in few batches: each carries the lowest version of every order.
#[tokio::test(start_paused = true)]
async fn the_lowest_versions_of_all_orders_go_together() {
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    let orders: Vec<_> = (0..200).map(|_| order()).collect();
    for id in &orders {
        for version in 1..=3 {
            store.insert(*id, version, &[0, 1]);
        }
    }
    let (running, stop) = start(&store, &log, "one");
    until("an empty outbox", || store.is_empty()).await;
    log.check(&orders, 3);
    assert!(log.batches() <= 6, "{} batches", log.batches());
    stop.cancel();
    running.await.expect("no panic");
}

/// A row that can't be read goes aside alone; a program that can read it takes it back.
#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_holds_up_nobody() {
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    let (bad, good) = (order(), order());
    store.unreadable(&[bad]);
    for id in [bad, good] {
        store.insert(id, 1, &[0]);
        store.insert(id, 2, &[0]);
    }
    let (running, stop) = start(&store, &log, "older");
    until("the others' rows", || store.is_empty()).await;
    assert_eq!(log.of(good), ["ORDER_CREATED/1", "ORDER_STATUS_UPDATED/2"]);
    assert_eq!(log.of(bad), Vec::<String>::new());
    assert_eq!(store.stats().await.expect("stats").set_aside, 2);
    stop.cancel();
    running.await.expect("no panic");

    store.unreadable(&[]);
    let (running, stop) = start(&store, &log, "newer");
    until("taken back", || log.of(bad).len() == 2).await;
    assert_eq!(log.of(bad), ["ORDER_CREATED/1", "ORDER_STATUS_UPDATED/2"]);
    until("removed", || store.is_empty()).await;
    stop.cancel();
    running.await.expect("no panic");
}

/// Lanes are lost while rows are in flight: acknowledged rows are removed, no further rows of these lanes
/// are sent, and with the new holder first occurrences stay in order.
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_lost_on_the_way_is_left_alone() {
    let store = Store::new("orders");
    let log = Log::new(|_, _| Answer::Taken);
    log.take_time(Duration::from_millis(2500));
    let orders: Vec<_> = (0..40).map(|_| order()).collect();
    let (running, stop) = start(&store, &log, "one");
    until("lanes", || !store.holders().is_empty()).await;
    for id in &orders {
        for version in 1..=4 {
            store.insert(*id, version, &[0, 1]);
        }
    }
    until("the first versions are on their way", || log.len() > 0).await;
    let lanes: Vec<u16> = (0..OUTBOX_LANES).collect();
    store.seize(&lanes, "nobody");
    // The rows in flight arrive after the next renewal has reported the loss.
    sleep(Duration::from_millis(4500)).await;
    let mut expected: Vec<_> = orders
        .iter()
        .map(|_| ["ORDER_CREATED/1"; 2].map(str::to_owned))
        .collect();
    let mut got: Vec<_> = orders.iter().map(|id| log.of(*id)).collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected, "only what was on its way has gone");
    assert_eq!(store.len(), 40 * 6, "and that is removed");
    // The lease of the other ends, and the lanes come back.
    until("an empty outbox", || store.is_empty()).await;
    log.check(&orders, 4);
    stop.cancel();
    running.await.expect("no panic");
}
