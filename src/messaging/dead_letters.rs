//! Lists dead letters and sends them again. A letter stays in its topic after that: sending it twice is
//! harmless, because consumers know a message by its id. Leaves writing them to `parking`.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use trackops_domain::ids::OrderId;

use super::envelope;
use super::parking::{self, headers};
use crate::model::topic::{Topic, dead_letter_topic};
use crate::ports::bus::{Bus, BusError, InMessage, PublishError};

/// The most letters in one page.
pub const PAGE_MAX: usize = 200;

/// The most letters that a search for one order's letters reads in each topic. That is well over what an
/// installation has if it looks at its dead letters, and it takes a second or two to read.
const SEARCH_MAX: usize = 20_000;
const SEARCH_PAGE: usize = 1_000;

/// A parked message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic that it came from.
    pub topic: Arc<str>,
    /// Its partition in the dead-letter topic.
    pub partition: i32,
    /// Its offset in the dead-letter topic.
    pub offset: i64,
    /// Its partition and offset in its own topic.
    pub origin: Option<(i32, i64)>,
    /// Its key, if it is text.
    pub key: Option<String>,
    /// A short stable name of the reason.
    pub code: String,
    /// What was wrong.
    pub reason: String,
    /// The consumer group that could not handle it.
    pub group: String,
    /// When it was parked, RFC 3339.
    pub parked_at: String,
    /// Set if it had been sent again before: its first `topic/partition/offset`.
    pub sent_again: Option<String>,
    /// Its size in bytes, if it was too large to be parked whole.
    pub payload_left_out: Option<String>,
    /// Its own headers, as text.
    pub headers: BTreeMap<String, String>,
    /// Its value, as text.
    pub payload: Option<String>,
}

/// Why a letter could not be sent again.
#[derive(Debug, Error)]
pub enum SendAgainError {
    /// No letter there.
    #[error("no dead letter at partition {partition}, offset {offset} of {topic}")]
    NotFound {
        /// The topic that it came from.
        topic: Topic,
        /// In the dead-letter topic.
        partition: i32,
        /// In the dead-letter topic.
        offset: i64,
    },
    /// It was too large to be parked whole.
    #[error("the dead letter was parked without its content")]
    LeftOut,
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] BusError),
    /// Publishing failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// The dead letters of all topics.
#[derive(Clone)]
pub struct DeadLetters {
    bus: Arc<dyn Bus>,
}

impl DeadLetters {
    /// The dead letters on `bus`.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus }
    }

    /// Letters of `topic` by partition and offset, from `from` (partition, offset) or the beginning,
    /// at most `limit` and [`PAGE_MAX`]. The next page begins one past the last letter's offset.
    pub async fn list(
        &self,
        topic: Topic,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, BusError> {
        let name = dead_letter_topic(topic.as_str());
        let messages = self.bus.read(&name, from, limit.min(PAGE_MAX)).await?;
        Ok(messages.iter().map(|m| describe(topic, m)).collect())
    }

    /// The letter at that partition and offset of `topic`'s dead-letter topic.
    pub async fn show(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
    ) -> Result<Option<DeadLetter>, BusError> {
        let letter = self.find(topic, partition, offset).await?;
        Ok(letter.map(|message| describe(topic, &message)))
    }

    /// Publishes the letter to its own topic again, as it was. When this returns, the bus has it.
    pub async fn send_again(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
    ) -> Result<(), SendAgainError> {
        let letter = self.find(topic, partition, offset).await?;
        let letter = letter.ok_or(SendAgainError::NotFound {
            topic,
            partition,
            offset,
        })?;
        self.send(topic, &letter).await
    }

    /// Sends again the letters of one order that were parked because the order was in quarantine, oldest
    /// first. Returns how many.
    pub async fn send_order_again(&self, order: OrderId) -> Result<usize, SendAgainError> {
        let mut letters = Vec::new();
        for topic in super::orders::TOPICS {
            letters.extend(self.of_order(topic, order).await?);
        }
        letters.sort_by_key(|(_, letter)| (letter.timestamp_ms, letter.partition, letter.offset));
        for (topic, letter) in &letters {
            self.send(*topic, letter).await?;
        }
        Ok(letters.len())
    }

    async fn send(&self, topic: Topic, letter: &InMessage) -> Result<(), SendAgainError> {
        if letter.headers.contains_key(headers::LEFT_OUT) {
            return Err(SendAgainError::LeftOut);
        }
        let message = parking::unpark(letter, topic.as_str().into());
        self.bus.forward(message).await?;
        tracing::info!(
            topic = topic.as_str(),
            partition = letter.partition,
            offset = letter.offset,
            "dead letter sent again"
        );
        Ok(())
    }

    async fn find(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
    ) -> Result<Option<InMessage>, BusError> {
        let name = dead_letter_topic(topic.as_str());
        let found = self.bus.read(&name, Some((partition, offset)), 1).await?;
        // If there is no message at that offset, reading returns the next one.
        let is_it = |m: &InMessage| m.partition == partition && m.offset == offset;
        Ok(found.into_iter().find(is_it))
    }

    async fn of_order(
        &self,
        topic: Topic,
        order: OrderId,
    ) -> Result<Vec<(Topic, InMessage)>, BusError> {
        let name = dead_letter_topic(topic.as_str());
        let mut found = Vec::new();
        let mut from = None;
        for _ in 0..SEARCH_MAX / SEARCH_PAGE {
            let page = self.bus.read(&name, from, SEARCH_PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            from = Some((last.partition, last.offset + 1));
            let quarantined = page.into_iter().filter(|letter| {
                letter.header(headers::CODE) == Some(super::orders::QUARANTINED)
                    && envelope::order_of(letter) == Some(order)
            });
            found.extend(quarantined.map(|letter| (topic, letter)));
        }
        tracing::warn!(
            topic = topic.as_str(),
            "too many dead letters to search them all"
        );
        Ok(found)
    }
}

pub(super) fn describe(topic: Topic, letter: &InMessage) -> DeadLetter {
    let text = |name| letter.header(name).unwrap_or_default().to_owned();
    let number = |name| letter.header(name).and_then(|n| n.parse::<i64>().ok());
    let origin = number(headers::PARTITION)
        .and_then(|partition| i32::try_from(partition).ok())
        .zip(number(headers::OFFSET));
    let lossy = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    DeadLetter {
        topic: topic.as_str().into(),
        partition: letter.partition,
        offset: letter.offset,
        origin,
        key: letter.key.as_ref().map(lossy),
        code: text(headers::CODE),
        reason: text(headers::REASON),
        group: text(headers::GROUP),
        parked_at: text(headers::TIME),
        sent_again: letter.header(headers::SENT_AGAIN).map(Into::into),
        payload_left_out: letter.header(headers::LEFT_OUT).map(Into::into),
        headers: letter
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with(headers::PREFIX))
            .map(|(name, value)| (name.to_string(), lossy(value)))
            .collect(),
        payload: letter.payload.as_ref().map(lossy),
    }
}
