//! A batch of messages that were handed to librdkafka together, and the outcome of each. librdkafka's
//! callbacks run inside C frames, on its own thread, so nothing in here may panic. The waiting publisher
//! is woken once or twice for the whole batch, not for each message.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

use super::context::Logged;

/// How long to gather more outcomes once the first have arrived. Messages of other partitions are usually
/// no later than this, and the publisher is woken once for all of them.
const TOGETHER: Duration = Duration::from_millis(5);

/// A message's index in its batch, with the partition and offset that it was given.
pub(super) type Fate = (usize, Result<(i32, i64), KafkaError>);

/// See the module.
#[derive(Default)]
pub(super) struct PublishBatch {
    state: Mutex<State>,
    some: Notify,
    all: Notify,
}

#[derive(Default)]
struct State {
    /// The outcomes that nobody has taken yet.
    fates: Vec<Fate>,
    /// The number of messages whose outcome isn't known.
    open: usize,
}

/// Kept by librdkafka for each message, to find its batch again.
pub(super) struct Slot {
    wave: Arc<PublishBatch>,
    at: usize,
}

impl PublishBatch {
    /// Waits for outcomes that were not returned yet, and returns them. `None` once all have been
    /// returned.
    pub(super) async fn next(&self) -> Option<Vec<Fate>> {
        loop {
            let (has_some, is_open) = {
                let state = self.state.lock();
                (!state.fates.is_empty(), state.open > 0)
            };
            if has_some {
                if is_open {
                    // Either all are known or the time is up; both go on.
                    let _ = tokio::time::timeout(TOGETHER, self.all.notified()).await;
                }
                return Some(std::mem::take(&mut self.state.lock().fates));
            }
            if !is_open {
                return None;
            }
            self.some.notified().await;
        }
    }

    fn told(&self, fate: Fate) {
        let mut state = self.state.lock();
        state.fates.push(fate);
        state.open -= 1;
        let (is_first, is_last) = (state.fates.len() == 1, state.open == 0);
        drop(state);
        if is_first {
            self.some.notify_one();
        }
        if is_last {
            self.all.notify_one();
        }
    }
}

impl Slot {
    /// A slot for the message at index `at`.
    pub(super) fn of(wave: &Arc<PublishBatch>, at: usize) -> Self {
        wave.state.lock().open += 1;
        Self {
            wave: Arc::clone(wave),
            at,
        }
    }

    /// Notes that librdkafka did not take the message.
    pub(super) fn give_up(&self) {
        self.wave.state.lock().open -= 1;
    }
}

/// The producer's callbacks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logged.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logged.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        slot.wave.told((slot.at, outcome));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn told(slot: &Slot) {
        slot.wave.told((slot.at, Ok((0, 0))));
    }

    /// The publisher gets outcomes that come together at once, and later ones when they come: nothing
    /// waits for a message of a partition without a leader.
    #[tokio::test(start_paused = true)]
    async fn what_comes_together_is_told_together() {
        let wave = Arc::new(PublishBatch::default());
        assert!(wave.next().await.is_none(), "nothing was sent");
        let mut slots: Vec<_> = (0..4).map(|at| Slot::of(&wave, at)).collect();
        slots.pop().expect("four").give_up();
        let late = slots.pop().expect("three");
        let began = Instant::now();
        tokio::spawn(async move {
            for slot in slots {
                sleep(TOGETHER / 2).await;
                told(&slot);
            }
            sleep(Duration::from_secs(7)).await;
            told(&late);
        });
        let places = |fates: Vec<Fate>| fates.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!(wave.next().await.map(places), Some(vec![0, 1]));
        assert!(began.elapsed() <= TOGETHER * 2, "{:?}", began.elapsed());
        assert_eq!(wave.next().await.map(places), Some(vec![2]));
        assert!(wave.next().await.is_none());
    }
}
