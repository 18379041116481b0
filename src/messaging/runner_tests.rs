//! The consumer loop against a bus that fails on demand, on a paused clock.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handler::{Handler, HandlerOutcome, Reason};
use super::runner::Runner;
use super::settings::RunnerSettings;
use super::testing::{Call, Double, Told};
use crate::ports::bus::Subscription;
use crate::ports::clock::SystemClock;

/// Runs `handler` until `done` holds, and what follows from it has been committed.
pub(super) async fn run_until(
    bus: &Double,
    handler: Arc<dyn Handler>,
    batch_max: usize,
    done: impl Fn() -> bool,
) {
    let shutdown = CancellationToken::new();
    let running = start(bus, handler, batch_max, &shutdown);
    wait_for(done).await;
    shutdown.cancel();
    running.await.unwrap();
}

pub(super) fn start(
    bus: &Double,
    handler: Arc<dyn Handler>,
    batch_max: usize,
    shutdown: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let subscription = Subscription {
        group: "g".into(),
        topics: vec!["T".into(), "U".into()],
        member: "m".into(),
    };
    let settings = RunnerSettings {
        batch_max,
        in_flight_max: 4,
        gather: Duration::from_millis(5),
    };
    let bus = Arc::new(bus.clone());
    let runner = Runner::new(bus, subscription, handler, settings, Arc::new(SystemClock));
    tokio::spawn(runner.run(shutdown.clone()))
}

/// The paused clock moves on by itself whenever nothing else can.
pub(super) async fn wait_for(done: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_hours(1);
    while !done() {
        assert!(Instant::now() < limit, "an hour has passed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn too_early() -> HandlerOutcome {
    HandlerOutcome::RetryLater(Reason::new("too-early", "not yet"))
}

#[tokio::test(start_paused = true)]
async fn a_retried_message_holds_up_its_own_key_only() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, times| match (payload, times) {
        ("a1", ..6) => too_early(),
        _ => HandlerOutcome::Done,
    });
    for (key, payload) in [
        ("a", "a1"),
        ("a", "a2"),
        ("b", "b1"),
        ("b", "b2"),
        ("a", "a3"),
    ] {
        bus.put("T", key, payload);
    }
    run_until(&bus, handler.clone(), 10, || bus.committed("T") == 5).await;
    assert_eq!(handler.settled(), ["b1", "b2", "a1", "a2", "a3"]);
    assert_eq!(bus.forwarded(), []);
}

#[tokio::test(start_paused = true)]
async fn what_stays_too_early_is_parked_after_the_limit() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, _| match payload {
        "early" => too_early(),
        _ => HandlerOutcome::Done,
    });
    bus.put("T", "a", "early");
    bus.put("T", "a", "next");
    let begin = Instant::now();
    run_until(&bus, handler.clone(), 1, || bus.committed("T") == 2).await;
    let took = begin.elapsed().as_secs();
    assert!((30..35).contains(&took), "{took} s");
    assert_eq!(handler.settled(), ["next"]);
    let letters = bus.forwarded();
    let [letter] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(&*letter.topic, "T.dlq");
    assert_eq!(letter.key.as_deref(), Some(&b"a"[..]));
    assert_eq!(letter.payload.as_deref(), Some(&b"early"[..]));
    let header = |name| letter.headers.iter().find(|(key, _)| key == name);
    assert_eq!(header("x-own").unwrap().1, &b"\xff"[..]);
    assert_eq!(header("dlq_code").unwrap().1, "too-early");
    assert_eq!(header("dlq_reason").unwrap().1, "not yet");
    assert_eq!(header("dlq_group").unwrap().1, "g");
    assert!(header("dlq_time").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_of_the_same_key_ends_the_wait() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, _| match payload {
        "step" => too_early(),
        _ => HandlerOutcome::Done,
    });
    bus.put("T", "a", "step");
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 1, &shutdown);
    // By now it is tried every one to two seconds.
    tokio::time::sleep(Duration::from_secs(10)).await;
    wait_for(|| handler.asked().len() > 6).await;
    let before = handler.asked().len();
    bus.put("U", "a", "reserved");
    wait_for(|| handler.settled() == ["reserved"]).await;
    let begin = Instant::now();
    wait_for(|| handler.asked().len() > before + 1).await;
    assert!(
        begin.elapsed() < Duration::from_millis(20),
        "{:?}",
        begin.elapsed()
    );
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_dependency_loses_and_parks_nothing() {
    let bus = Double::default();
    let begin = Instant::now();
    let handler = Told::new(&bus, move |payload, _| {
        if begin.elapsed() < Duration::from_mins(5) {
            // One of them was waiting for something else when the dependency went away.
            return match payload {
                "m0" if begin.elapsed() < Duration::from_secs(20) => too_early(),
                _ => HandlerOutcome::DependencyDown("database".into()),
            };
        }
        HandlerOutcome::Done
    });
    for n in 0..20 {
        bus.put("T", &format!("k{}", n % 10), &format!("m{n}"));
    }
    run_until(&bus, handler.clone(), 5, || bus.committed("T") == 20).await;
    assert_eq!(bus.forwarded(), []);
    let settled = handler.settled();
    assert_eq!(settled.len(), 20);
    for key in 0..10 {
        let of_key = [format!("m{key}"), format!("m{}", key + 10)];
        let order: Vec<_> = settled.iter().filter(|m| of_key.contains(m)).collect();
        assert_eq!(order, of_key.iter().collect::<Vec<_>>());
    }
    let asked = handler.asked().len();
    assert!(asked < 1000, "{asked} calls in five minutes are no pause");
}

#[tokio::test(start_paused = true)]
async fn the_offset_waits_for_the_dead_letter() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, _| match payload {
        "bad" => HandlerOutcome::DeadLetter(Reason::new("malformed", "status is missing")),
        _ => HandlerOutcome::Done,
    });
    bus.fail(Call::Forward, 200);
    bus.put("T", "a", "good");
    bus.put("T", "b", "bad");
    bus.put("T", "c", "fine");
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 1, &shutdown);
    wait_for(|| bus.failed(Call::Forward) >= 20).await;
    let mut settled = handler.settled();
    settled.sort();
    assert_eq!(settled, ["fine", "good"]);
    assert_eq!(bus.committed("T"), 1);
    bus.fail(Call::Forward, 0);
    wait_for(|| bus.committed("T") == 3).await;
    assert_eq!(bus.forwarded().len(), 1);
    assert_eq!(
        handler.asked().len(),
        3,
        "parking again doesn't handle again"
    );
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_dead_letter_is_parked_without_its_content() {
    let bus = Double::default();
    let handler = Told::new(&bus, |_, _| {
        HandlerOutcome::DeadLetter(Reason::new("malformed", "x"))
    });
    bus.fail(Call::Refuse, 1);
    bus.put("T", "a", "huge");
    run_until(&bus, handler, 1, || bus.committed("T") == 1).await;
    let letters = bus.forwarded();
    assert_eq!(letters[0].payload, None);
    let left_out = ("dlq_payload_left_out".to_owned(), "4".into());
    assert!(letters[0].headers.contains(&left_out));
}

#[tokio::test(start_paused = true)]
async fn a_failed_commit_is_made_up_for() {
    let bus = Double::default();
    let handler = Told::new(&bus, |_, _| HandlerOutcome::Done);
    bus.fail(Call::Commit, 5);
    bus.put("T", "a", "1");
    run_until(&bus, handler.clone(), 1, || bus.committed("T") == 1).await;
    assert_eq!(bus.failed(Call::Commit), 5);
    assert_eq!(handler.asked(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_revoked_partition_is_committed_or_handled_again() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, _| match payload {
        "stuck" => too_early(),
        _ => HandlerOutcome::Done,
    });
    bus.put("T", "a", "stuck");
    bus.put("T", "a", "behind");
    bus.put("U", "b", "before");
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 1, &shutdown);
    wait_for(|| bus.committed("U") == 1 && handler.asked().len() > 3).await;
    bus.revoke("T");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = handler.asked().len();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(handler.asked().len(), asked);
    bus.put("U", "b", "after");
    wait_for(|| bus.committed("U") == 2).await;
    assert_eq!(bus.committed("T"), 0);
    assert_eq!(bus.forwarded(), []);
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panicking_handler_is_asked_again() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, times| {
        assert!(payload != "boom" || times > 2, "told to panic");
        HandlerOutcome::Done
    });
    bus.put("T", "a", "boom");
    bus.put("T", "a", "next");
    run_until(&bus, handler.clone(), 1, || bus.committed("T") == 2).await;
    assert_eq!(handler.settled(), ["boom", "next"]);
}
