//! What a handler is asked and how it answers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ports::bus::InMessage;

/// Why a message can't be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A short stable name, for metrics: one of a few.
    pub code: &'static str,
    /// For people: names the field or the state in the way.
    pub detail: String,
}

impl Reason {
    /// A reason in both forms.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerOutcome {
    /// Handled and durable.
    Done,
    /// Nothing to do for it (any more); counted under this name.
    Drop(&'static str),
    /// Legal later but not now: tried again while its neighbours go on, and parked with this reason
    /// after [`super::settings::RETRY_LIMIT`].
    RetryLater(Reason),
    /// Whoever should handle it has too much to do or is starting again: tried again for
    /// [`super::settings::BUSY_LIMIT`], because nothing is wrong with the message.
    Busy(Reason),
    /// Never: parked at once.
    DeadLetter(Reason),
    /// What the handler needs is away: everything waits, nothing is dropped or parked.
    DependencyDown(String),
}

/// Handles messages of one subscription. Repeats must be harmless: a message comes again after a
/// crash, a rebalance or a time-out.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch in which no two messages share a queue; one verdict each, in order.
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome>;

    /// Messages of one partition with the same queue are handled one after the other; `None` needs
    /// no order at all.
    fn queue_key(&self, message: &InMessage) -> Option<Bytes> {
        message.key.clone()
    }
}
