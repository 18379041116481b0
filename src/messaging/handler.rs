//! The interface of a message handler: a batch of messages in, an outcome for each out. Leaves retrying
//! and parking to `work`.

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

/// The outcome of handling a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerOutcome {
    /// Handled and durable.
    Done,
    /// Nothing is left to do for it. Counted under this name.
    Drop(&'static str),
    /// Not legal yet, but may become legal: tried again while other queues go on, and parked with this
    /// reason after [`super::settings::RETRY_LIMIT`].
    RetryLater(Reason),
    /// The component that should handle it is overloaded or restarting. Nothing is wrong with the
    /// message, so it is tried again for [`super::settings::BUSY_LIMIT`].
    Busy(Reason),
    /// It can never be handled: parked at once.
    DeadLetter(Reason),
    /// A dependency of the handler is away: all messages wait, and none is dropped or parked.
    DependencyDown(String),
}

/// Handles messages of one subscription. Repeats must be harmless, because a message comes again after a
/// crash, a rebalance or a time-out.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch in which no two messages share a queue. Returns one outcome for each message, in
    /// order.
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome>;

    /// The key of the message's queue. Messages of one partition with the same key are handled one after
    /// the other. `None` means that order doesn't matter.
    fn queue_key(&self, message: &InMessage) -> Option<Bytes> {
        message.key.clone()
    }
}
