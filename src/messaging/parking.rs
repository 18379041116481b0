//! Writes dead letters: the message as it came, with headers that say where it came from and why it was
//! parked. Leaves listing and sending them again to [`super::dead_letters`].

use std::sync::Arc;

use bytes::Bytes;
use trackops_domain::time::Timestamp;

use super::handler::Reason;
use crate::codec::rfc3339;
use crate::model::topic::dead_letter_topic;
use crate::ports::bus::{Bus, InMessage, PublishError, RawMessage};

/// Headers that parking adds.
pub(super) mod headers {
    /// The prefix of all of them.
    pub const PREFIX: &str = "dlq_";
    /// The topic that it came from.
    pub const TOPIC: &str = "dlq_topic";
    /// Its partition there.
    pub const PARTITION: &str = "dlq_partition";
    /// Its offset there.
    pub const OFFSET: &str = "dlq_offset";
    /// [`super::Reason::code`].
    pub const CODE: &str = "dlq_code";
    /// [`super::Reason::detail`].
    pub const REASON: &str = "dlq_reason";
    /// The consumer group that could not handle it.
    pub const GROUP: &str = "dlq_group";
    /// When it was parked.
    pub const TIME: &str = "dlq_time";
    /// Its size in bytes, if it was too large to be parked whole. The message is still in its own topic.
    pub const LEFT_OUT: &str = "dlq_payload_left_out";
    /// On a message sent again: its first `topic/partition/offset`.
    pub const SENT_AGAIN: &str = "trackops_sent_again";
}

/// The most characters of a reason, which may quote the message.
const DETAIL_CHARS_MAX: usize = 500;

/// How much of a message a dead letter keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of it.
    Whole,
    /// Only its origin and the reason, because it was too large. Its own topic still has the whole
    /// message.
    WithoutContent,
}

/// Parks `message`. When this returns `Ok`, the bus has the dead letter.
pub(super) async fn park(
    bus: &dyn Bus,
    group: &str,
    message: &InMessage,
    reason: &Reason,
    now: Timestamp,
) -> Result<Kept, PublishError> {
    let letter = letter(group, message, reason, now);
    match bus.forward(letter.clone()).await {
        // The added headers made it too large.
        Err(PublishError::Refused(_)) => bus
            .forward(without_content(letter))
            .await
            .map(|()| Kept::WithoutContent),
        result => result.map(|()| Kept::Whole),
    }
}

pub(super) fn letter(
    group: &str,
    message: &InMessage,
    reason: &Reason,
    now: Timestamp,
) -> RawMessage {
    let detail: String = reason.detail.chars().take(DETAIL_CHARS_MAX).collect();
    let added = [
        (headers::TOPIC, message.topic.to_string()),
        (headers::PARTITION, message.partition.to_string()),
        (headers::OFFSET, message.offset.to_string()),
        (headers::CODE, reason.code.to_owned()),
        (headers::REASON, detail),
        (headers::GROUP, group.to_owned()),
        (headers::TIME, rfc3339::format(now)),
    ];
    let kept = message
        .headers
        .iter()
        .filter(|(name, _)| !name.starts_with(headers::PREFIX))
        .map(|(name, value)| (name.to_string(), value.clone()));
    let added = added
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Bytes::from(value)));
    RawMessage {
        topic: dead_letter_topic(&message.topic).into(),
        key: message.key.clone(),
        headers: kept.chain(added).collect(),
        payload: message.payload.clone(),
    }
}

fn without_content(mut letter: RawMessage) -> RawMessage {
    let size = letter.payload.take().map_or(0, |payload| payload.len());
    letter.headers.retain(|(name, value)| {
        let ours = name.starts_with(headers::PREFIX) || name.starts_with("ce_");
        ours && value.len() <= DETAIL_CHARS_MAX * 4
    });
    let left_out = (headers::LEFT_OUT.to_owned(), Bytes::from(size.to_string()));
    letter.headers.push(left_out);
    letter.key = letter.key.filter(|key| key.len() <= DETAIL_CHARS_MAX);
    letter
}

/// The message as it was before it was parked, marked as sent again.
pub(super) fn unpark(letter: &InMessage, topic: Arc<str>) -> RawMessage {
    let part = |name| letter.header(name).unwrap_or("?");
    // As text, because only text counts as a place when the message's id is derived from it.
    let first_place = letter.header(headers::SENT_AGAIN).map_or_else(
        || {
            let (partition, offset) = (part(headers::PARTITION), part(headers::OFFSET));
            format!("{}/{partition}/{offset}", part(headers::TOPIC))
        },
        str::to_owned,
    );
    let mut kept: Vec<(String, Bytes)> = letter
        .headers
        .iter()
        .filter(|(name, _)| !name.starts_with(headers::PREFIX) && *name != headers::SENT_AGAIN)
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect();
    kept.push((headers::SENT_AGAIN.to_owned(), first_place.into()));
    RawMessage {
        topic,
        key: letter.key.clone(),
        headers: kept,
        payload: letter.payload.clone(),
    }
}
