//! The consumer loop when something hangs, fails as a whole or goes wrong thousands of times, on a paused
//! clock.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handler::{Handler, HandlerOutcome, Reason};
use super::runner_tests::{start, wait_for};
use super::testing::{Call, Double, Told};
use crate::ports::bus::{InMessage, RawMessage};

#[tokio::test(start_paused = true)]
async fn a_commit_and_a_question_for_the_lag_that_hang_stop_nothing() {
    let bus = Double::default();
    let handler = Told::new(&bus, |_, _| HandlerOutcome::Done);
    bus.fail(Call::CommitHangs, 1);
    bus.fail(Call::LagHangs, 1);
    bus.put("T", "a", "0");
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 1, &shutdown);
    wait_for(|| bus.failed(Call::CommitHangs) == 1 && bus.failed(Call::LagHangs) == 1).await;
    let begin = Instant::now();
    for n in 1..100 {
        bus.put("T", "a", &n.to_string());
        wait_for(|| handler.settled().len() > n).await;
    }
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_ends_the_wait_early_costs_no_patience() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, _| match payload {
        "busy" => HandlerOutcome::Busy(Reason::new("busy", "no room")),
        _ => HandlerOutcome::Done,
    });
    bus.put("T", "a", "busy");
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 1, &shutdown);
    let begin = Instant::now();
    // Each of them wakes it after a part of the pause that was counted.
    for n in 0..1_000 {
        bus.put("U", "a", &n.to_string());
        wait_for(|| handler.settled().len() > n).await;
    }
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "{:?}",
        begin.elapsed()
    );
    assert!(handler.asked().len() > 1_500, "it was woken early");
    assert_eq!(bus.forwarded(), [], "it has waited for less than a minute");
    wait_for(|| !bus.forwarded().is_empty()).await;
    let waited = begin.elapsed().as_secs();
    assert!((295..320).contains(&waited), "{waited} s");
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_message_without_its_dependency_stops_nobody() {
    let bus = Double::default();
    let handler = Told::new(&bus, |payload, _| match payload {
        "sick" => HandlerOutcome::DependencyDown("its shard is being settled".into()),
        _ => HandlerOutcome::Done,
    });
    bus.put("T", "a", "sick");
    bus.put("T", "a", "behind");
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 1, &shutdown);
    wait_for(|| handler.asked().len() > 3).await;
    let (mut slowest, mut parked_after) = (Duration::ZERO, None);
    let begin = Instant::now();
    for n in 0..600 {
        let put = Instant::now();
        bus.put("U", &n.to_string(), &n.to_string());
        wait_for(|| handler.settled().contains(&n.to_string())).await;
        slowest = slowest.max(put.elapsed());
        if parked_after.is_none() && !bus.forwarded().is_empty() {
            parked_after = Some(begin.elapsed().as_secs());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(slowest < Duration::from_millis(30), "{slowest:?}");
    // While others get through, the message itself is at fault. It is then tried for as long as a busy
    // one.
    let parked_after = parked_after.expect("parked at last");
    assert!((290..330).contains(&parked_after), "{parked_after} s");
    assert!(handler.settled().contains(&"behind".to_owned()));
    shutdown.cancel();
    running.await.unwrap();
}

/// Fails a whole call in some way as soon as one of its messages is a bad one.
struct AllOrNothing<F> {
    bus: Double,
    fail: F,
    calls: Mutex<Vec<Vec<String>>>,
}

#[async_trait]
impl<F: Fn(usize) -> Vec<HandlerOutcome> + Send + Sync + 'static> Handler for AllOrNothing<F> {
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome> {
        tokio::task::yield_now().await;
        let payload = |m: &Arc<InMessage>| {
            String::from_utf8(m.payload.clone().unwrap_or_default().to_vec()).unwrap()
        };
        let payloads: Vec<String> = batch.iter().map(payload).collect();
        self.calls.lock().push(payloads.clone());
        if payloads.iter().any(|payload| payload == "bad") {
            return (self.fail)(batch.len());
        }
        for message in batch {
            self.bus.apply_answers(message);
        }
        vec![HandlerOutcome::Done; batch.len()]
    }
}

/// Handles a batch of 20 with a bad message. Returns when the others are done, and what is parked after
/// an hour in which others get through.
async fn with_a_bad_one(
    fail: impl Fn(usize) -> Vec<HandlerOutcome> + Send + Sync + 'static,
) -> (Duration, Vec<RawMessage>) {
    let bus = Double::default();
    let handler = Arc::new(AllOrNothing {
        bus: bus.clone(),
        fail,
        calls: Mutex::default(),
    });
    for n in 0..20 {
        let payload = if n == 13 { "bad".into() } else { n.to_string() };
        bus.put("T", &n.to_string(), &payload);
    }
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler.clone(), 20, &shutdown);
    let begin = Instant::now();
    wait_for(|| bus.settled("T") == 19).await;
    let took = begin.elapsed();
    for n in 0..3_600 {
        bus.put("U", "other", &n.to_string());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    wait_for(|| bus.committed("T") == 20).await;
    shutdown.cancel();
    running.await.unwrap();
    (took, bus.forwarded())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_its_whole_batch_fails_alone() {
    let down = |count| vec![HandlerOutcome::DependencyDown("no answer".into()); count];
    let (took, letters) = with_a_bad_one(down).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload.as_deref(), Some(&b"bad"[..]));

    let (took, letters) = with_a_bad_one(|_| panic!("told to panic")).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload.as_deref(), Some(&b"bad"[..]));

    let (took, letters) = with_a_bad_one(|_| Vec::new()).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(letters.len(), 1);
}

/// Never answers for one of its messages.
struct Hanging(Double);

#[async_trait]
impl Handler for Hanging {
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome> {
        if batch.iter().any(|m| m.payload.as_deref() == Some(b"hangs")) {
            return pending().await;
        }
        for message in batch {
            self.0.apply_answers(message);
        }
        vec![HandlerOutcome::Done; batch.len()]
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_given_up() {
    let bus = Double::default();
    bus.put("T", "a", "hangs");
    bus.put("T", "b", "with it");
    let shutdown = CancellationToken::new();
    let running = start(&bus, Arc::new(Hanging(bus.clone())), 2, &shutdown);
    let begin = Instant::now();
    wait_for(|| bus.settled("T") == 1).await;
    assert!(
        begin.elapsed() < Duration::from_secs(40),
        "{:?}",
        begin.elapsed()
    );
    // It blocks others for as long as a call may take, so it isn't tried for ever.
    let mut n = 0;
    while bus.forwarded().is_empty() {
        bus.put("U", "other", &n.to_string());
        n += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_mins(12), "{took:?}");
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bad_producer_does_not_fill_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // While there is but one, a line that another thread comes to first is off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let bus = Double::default();
    let handler = Told::new(&bus, |_, _| {
        HandlerOutcome::DeadLetter(Reason::new("malformed", "x"))
    });
    let shutdown = CancellationToken::new();
    let running = start(&bus, handler, 1, &shutdown);
    // For 25 seconds.
    for n in 0..2_500 {
        bus.put("T", &n.to_string(), "bad");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    wait_for(|| bus.forwarded().len() == 2_500).await;
    let told = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(told("parked as"), 3, "{log:?}");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let lines: Vec<String> = log.lines().collect();
    let counts = lines.iter().filter_map(|line| {
        let (_, rest) = line.split_once(" count=")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    // The last one is the recovery's, which counts all.
    assert_eq!(counts.sum::<u64>(), 5_000, "{log:?}");
    assert_eq!(told("no more dead letters"), 1, "{log:?}");
    shutdown.cancel();
    running.await.unwrap();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> impl Iterator<Item = String> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        text.lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
