//! Puts a step's request, its answer and its frame together.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::live::{Frame, Sink};
use crate::load::{Latencies, Summary};

/// Follows one step of many orders at a time.
pub struct Tracker {
    state: Mutex<State>,
    news: Notify,
}

struct State {
    /// The status that is looked for.
    status: &'static str,
    missing: usize,
    failure: Option<String>,
    steps: HashMap<Uuid, Step>,
    from_sent: Latencies,
    from_answer: Latencies,
    frame_first: u64,
}

#[derive(Default)]
struct Step {
    sent: Option<Instant>,
    answered: Option<Instant>,
    frame: Option<Instant>,
}

/// What the client saw.
#[derive(serde::Serialize)]
pub struct Seen {
    pub from_sent: Summary,
    pub from_answer: Summary,
    pub frame_first: u64,
}

impl Tracker {
    /// A tracker that expects nothing yet.
    pub fn new() -> Self {
        let state = State {
            status: "",
            missing: 0,
            failure: None,
            steps: HashMap::new(),
            from_sent: Latencies::new(),
            from_answer: Latencies::new(),
            frame_first: 0,
        };
        Self {
            state: Mutex::new(state),
            news: Notify::new(),
        }
    }

    /// From here on `count` frames with `status` are looked for.
    pub fn expect(&self, count: usize, status: &'static str) {
        let mut state = self.lock();
        state.status = status;
        state.missing = count;
        state.steps.clear();
    }

    /// Waits for the frames that are expected.
    pub async fn all_seen(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let news = self.news.notified();
            {
                let state = self.lock();
                if let Some(failure) = &state.failure {
                    bail!("the server sent {failure}");
                }
                if state.missing == 0 {
                    return Ok(());
                }
            }
            if tokio::time::timeout_at(deadline.into(), news)
                .await
                .is_err()
            {
                bail!(
                    "{} frames have not come after {limit:?}",
                    self.lock().missing
                );
            }
        }
    }

    /// The figures so far.
    pub fn summary(&self) -> Seen {
        let state = self.lock();
        Seen {
            from_sent: state.from_sent.summary(),
            from_answer: state.from_answer.summary(),
            frame_first: state.frame_first,
        }
    }

    /// The request for `order` is about to be sent.
    pub fn sent(&self, order: Uuid) {
        self.lock().steps.insert(
            order,
            Step {
                sent: Some(Instant::now()),
                ..Step::default()
            },
        );
    }

    /// Its answer was read.
    pub fn answered(&self, order: Uuid, at: Instant) {
        let mut state = self.lock();
        let Some(step) = state.steps.get_mut(&order) else {
            return;
        };
        step.answered = Some(at);
        state.settle(order);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Records the step once both its answer and its frame are there.
    fn settle(&mut self, order: Uuid) {
        let Some(Step {
            sent: Some(sent),
            answered: Some(answered),
            frame: Some(frame),
        }) = self.steps.get(&order)
        else {
            return;
        };
        self.from_sent
            .record(frame.saturating_duration_since(*sent));
        self.from_answer
            .record(frame.saturating_duration_since(*answered));
        self.frame_first += u64::from(frame < answered);
    }
}

impl Sink for Tracker {
    fn frame(&self, frame: &Frame<'_>, at: Instant) {
        let mut state = self.lock();
        if frame.kind == "error" || matches!(frame.status(), Some("REJECTED" | "CANCELLED")) {
            state.failure.get_or_insert_with(|| format!("{frame:?}"));
            self.news.notify_one();
        }
        let Some(order) = frame
            .order_id
            .filter(|_| frame.status() == Some(state.status))
        else {
            return;
        };
        state.missing = state.missing.saturating_sub(1);
        if let Some(step) = state.steps.get_mut(&order) {
            step.frame = Some(at);
            state.settle(order);
        }
        if state.missing == 0 {
            self.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(order: Uuid, status: &str) -> String {
        format!(r#"{{"type":"update","orderId":"{order}","status":"{status}"}}"#)
    }

    #[tokio::test]
    async fn a_frame_before_the_answer_counts_as_zero_and_is_told() {
        let tracker = Tracker::new();
        let order = Uuid::new_v4();
        tracker.expect(1, "PREPARING");
        tracker.sent(order);
        let at = Instant::now();
        let (other, wanted) = (frame(order, "CONFIRMED"), frame(order, "PREPARING"));
        for text in [&other, &wanted] {
            tracker.frame(&serde_json::from_str(text).expect("a frame"), at);
        }
        tracker.answered(order, at + Duration::from_millis(5));
        tracker
            .all_seen(Duration::from_secs(1))
            .await
            .expect("seen");
        let seen = tracker.summary();
        assert_eq!(
            (
                seen.from_sent.count,
                seen.from_answer.count,
                seen.frame_first
            ),
            (1, 1, 1)
        );
        assert!(seen.from_answer.max_ms < 0.01);
    }

    #[tokio::test]
    async fn a_frame_that_does_not_come_is_an_error() {
        let tracker = Tracker::new();
        tracker.expect(1, "PREPARING");
        assert!(tracker.all_seen(Duration::from_millis(20)).await.is_err());
    }
}
