//! The desk where parked messages are looked at and sent again, as the routes need it. Leaves how a
//! message is parked, and what its headers say, to `messaging`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::time::Timestamp;

use crate::ports::journal::BoxError;

/// The most dead letters in one list: a page that a person reads.
pub const LIST_MAX: usize = 200;

/// Finds a dead letter: its place in the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterId {
    /// The topic that it was meant for, without `.dlq`.
    pub topic: String,
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
}

/// A parked message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it is.
    pub id: DeadLetterId,
    /// Its key, an order's id as a rule; invalid UTF-8 is replaced.
    pub key: Option<String>,
    /// Why it was parked.
    pub reason: String,
    /// When.
    pub parked_at: Timestamp,
    /// Its headers, with those that say where it came from; invalid UTF-8 is replaced.
    pub headers: BTreeMap<String, String>,
    /// Its value; invalid UTF-8 is replaced. `None` for a tombstone.
    pub payload: Option<String>,
}

/// The desk failed.
#[derive(Debug, Error)]
pub enum DeskError {
    /// The bus is away.
    #[error("the bus is away")]
    Unavailable(#[source] BoxError),
    /// No topic of that name has dead letters.
    #[error("there is no topic of that name")]
    UnknownTopic,
}

/// Looks at dead letters and sends them again.
#[async_trait]
pub trait DeadLetterDesk: Send + Sync + 'static {
    /// Dead letters of `topic`, or of every topic, at most `limit` (itself at most [`LIST_MAX`]).
    async fn list(&self, topic: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, DeskError>;

    /// One dead letter.
    async fn show(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, DeskError>;

    /// Publishes it to its topic again, as it first was; returns when the bus has acknowledged it.
    /// `false` if there is none at that place. It stays listed until the topic's retention takes it.
    async fn send_again(&self, id: &DeadLetterId) -> Result<bool, DeskError>;
}
