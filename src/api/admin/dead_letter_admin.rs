//! What operations sees and does with dead letters, as the routes need it. Leaves to `messaging` how a
//! message is parked and what its headers mean.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use crate::ports::journal::BoxError;

/// The most dead letters in one list: a page that a person reads.
pub const LIST_MAX: usize = 200;

/// Identifies a dead letter by its position in the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterId {
    /// The topic that it was meant for, without `.dlq`.
    pub topic: String,
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A parked message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its position in the dead-letter topic.
    pub id: DeadLetterId,
    /// Partition and offset in the topic that it came from.
    pub origin: Option<(i32, i64)>,
    /// Its key, an order's id as a rule, if it is text.
    pub key: Option<String>,
    /// Short stable name of what was wrong.
    pub code: String,
    /// What was wrong.
    pub reason: String,
    /// The consumer group that could not handle it.
    pub group: String,
    /// When it was parked, RFC 3339.
    pub parked_at: String,
    /// Its first position, as `topic/partition/offset`, if it had been sent again before.
    pub sent_again: Option<String>,
    /// Its size in bytes, if it was too large to be parked whole.
    pub payload_left_out: Option<String>,
    /// Its own headers, as text.
    pub headers: BTreeMap<String, String>,
    /// Its value, as text. `None` for a tombstone.
    pub payload: Option<String>,
}

/// Why a request to [`DeadLetterAdmin`] failed.
#[derive(Debug, Error)]
pub enum DeadLetterAdminError {
    /// The bus can't be reached.
    #[error("the bus is away")]
    Unavailable(#[source] BoxError),
    /// No topic of that name has dead letters.
    #[error("there is no topic of that name")]
    UnknownTopic,
    /// There is no dead letter at that position.
    #[error("there is no dead letter at that place")]
    NotFound,
    /// It was too large to be parked whole, so it can't be sent again.
    #[error("the dead letter was parked without its content")]
    LeftOut,
}

/// Shows dead letters and sends them again.
#[async_trait]
pub trait DeadLetterAdmin: Send + Sync + 'static {
    /// Dead letters of `topic`, or of every topic, by topic, partition and offset, beginning at
    /// `from`; at most `limit`, and [`LIST_MAX`].
    async fn list(
        &self,
        topic: Option<&str>,
        from: Option<&DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterAdminError>;

    /// One dead letter.
    async fn show(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, DeadLetterAdminError>;

    /// Publishes it to its topic again, in its first form; returns when the bus has acknowledged it. It stays
    /// listed until the dead-letter topic's retention removes it.
    async fn send_again(&self, id: &DeadLetterId) -> Result<(), DeadLetterAdminError>;
}
