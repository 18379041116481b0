//! Runs calls of the handler and parkings: one task for each wave of them, whose answers wake the
//! consumer loop together. Leaves the meaning of an answer to `work`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use trackops_domain::time::Timestamp;

use super::handler::{Handler, HandlerOutcome, Reason};
use super::in_flight::DispatchedMessage;
use super::parking::{self, Kept};
use crate::ports::bus::{Bus, InMessage, PublishError};

/// How long one call of a handler may take. After that its messages are tried again. A handler has time
/// limits of its own; this one keeps a fault in them from blocking a queue for ever.
pub(super) const HANDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a call of the handler ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It returned, with an outcome for each message if the handler works as it should.
    Verdicts(Vec<HandlerOutcome>),
    /// It didn't return within [`HANDLE_TIMEOUT`].
    TimedOut,
    /// It panicked, with this text.
    Panicked(String),
}

/// The result of one call or of one parking.
#[derive(Debug)]
pub(super) enum Answer {
    /// A call of the handler.
    Handled(Vec<DispatchedMessage>, Outcome),
    /// The publishing of a dead letter.
    Parked(DispatchedMessage, Reason, Result<Kept, PublishError>),
}

/// Answers that the consumer loop has not taken yet: at most one for each call and letter in flight.
#[derive(Debug, Default)]
pub(super) struct Answers {
    ended: Mutex<Vec<Answer>>,
    news: Notify,
}

impl Answers {
    /// Waits for answers and takes them. If the future is dropped half-way, it has taken none.
    pub(super) async fn take(&self) -> Vec<Answer> {
        loop {
            let ended = std::mem::take(&mut *self.ended.lock());
            if !ended.is_empty() {
                return ended;
            }
            self.news.notified().await;
        }
    }

    fn put(&self, answers: impl IntoIterator<Item = Answer>) {
        self.ended.lock().extend(answers);
        self.news.notify_one();
    }
}

/// Makes all `calls` concurrently.
pub(super) async fn handle(
    handler: Arc<dyn Handler>,
    calls: Vec<Vec<DispatchedMessage>>,
    answers: Arc<Answers>,
) {
    let mut under_way: FuturesUnordered<_> = calls
        .iter()
        .enumerate()
        .map(|(number, dispatched)| {
            let batch: Vec<Arc<InMessage>> =
                dispatched.iter().map(|t| Arc::clone(&t.message)).collect();
            let handler = &*handler;
            async move { (number, call(handler, &batch).await) }
        })
        .collect();
    let mut waiting: Vec<Option<Vec<DispatchedMessage>>> =
        calls.iter().cloned().map(Some).collect();
    let mut answered = |(number, outcome): (usize, Outcome)| {
        let dispatched = waiting.get_mut(number).and_then(Option::take)?;
        Some(Answer::Handled(dispatched, outcome))
    };
    let late = tokio::time::sleep(HANDLE_TIMEOUT);
    tokio::pin!(late);
    loop {
        let first = tokio::select! {
            ended = under_way.next() => ended,
            () = &mut late => break,
        };
        let Some(first) = first else {
            return;
        };
        let mut together = vec![first];
        while let Some(Some(next)) = under_way.next().now_or_never() {
            together.push(next);
        }
        answers.put(together.into_iter().filter_map(&mut answered));
    }
    let late = waiting.into_iter().flatten();
    answers.put(late.map(|dispatched| Answer::Handled(dispatched, Outcome::TimedOut)));
}

async fn call(handler: &dyn Handler, batch: &[Arc<InMessage>]) -> Outcome {
    // A handler must tolerate its own half-done work after a panic, because the message comes again.
    match AssertUnwindSafe(handler.handle(batch)).catch_unwind().await {
        Ok(verdicts) => Outcome::Verdicts(verdicts),
        Err(panic) => Outcome::Panicked(text_of(&*panic)),
    }
}

/// Parks all `letters` concurrently, for `group`.
pub(super) async fn park(
    bus: Arc<dyn Bus>,
    group: Arc<str>,
    letters: Vec<(DispatchedMessage, Reason)>,
    now: Timestamp,
    answers: Arc<Answers>,
) {
    let mut under_way: FuturesUnordered<_> = letters
        .into_iter()
        .map(|(ticket, reason)| {
            let (bus, group) = (&*bus, &*group);
            async move {
                let parked = parking::park(bus, group, &ticket.message, &reason, now);
                let result = match AssertUnwindSafe(parked).catch_unwind().await {
                    Ok(result) => result,
                    Err(panic) => Err(PublishError::Unavailable(text_of(&*panic).into())),
                };
                Answer::Parked(ticket, reason, result)
            }
        })
        .collect();
    while let Some(first) = under_way.next().await {
        let mut together = vec![first];
        while let Some(Some(next)) = under_way.next().now_or_never() {
            together.push(next);
        }
        answers.put(together);
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".to_owned())
}
