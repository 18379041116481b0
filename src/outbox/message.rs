//! Makes messages of the bus and dead letters from outbox rows. Leaves the headers' format to the codec.

use std::sync::{Arc, LazyLock};

use trackops_cluster::outage::causes;

use crate::codec::messages::headers;
use crate::codec::rfc3339;
use crate::model::outbox_row::OutboxEntry;
use crate::model::topic::{Topic, dead_letter_topic};
use crate::ports::bus::{OutMessage, PublishError};
use crate::ports::clock::{Clock, SystemClock};

/// The most bytes of a reason in a header: enough for any broker's message, and far below any limit of
/// headers.
const REASON_BYTES_MAX: usize = 500;

/// The names of the topics and of their dead-letter topics, in the order of [`Topic::ALL`], so that a
/// message allocates no name.
static NAMES: LazyLock<[(Arc<str>, Arc<str>); Topic::ALL.len()]> = LazyLock::new(|| {
    Topic::ALL.map(|topic| {
        let name = topic.as_str();
        (name.into(), dead_letter_topic(name).into())
    })
});

/// The message of `entry`, published by `source`.
pub(super) fn message(entry: &OutboxEntry, source: &str) -> OutMessage {
    OutMessage {
        topic: Arc::clone(&NAMES[index(entry.row.topic)].0),
        key: entry.order.to_string().into(),
        headers: headers(entry, source),
        payload: entry.row.payload.clone(),
    }
}

/// The dead letter of `entry` for `<topic>.dlq`, with the headers that every dead letter has: its topic,
/// the reason, who parked it and when.
pub(super) fn dead_letter(entry: &OutboxEntry, source: &str, error: &PublishError) -> OutMessage {
    let mut letter = message(entry, source);
    letter.topic = Arc::clone(&NAMES[index(entry.row.topic)].1);
    letter.headers.extend([
        ("dlq_topic", entry.row.topic.as_str().to_owned()),
        ("dlq_code", REFUSED.to_owned()),
        ("dlq_reason", reason(error)),
        ("dlq_group", "relay".to_owned()),
        ("dlq_time", rfc3339::format(SystemClock.now())),
    ]);
    letter
}

/// The code of the relay's dead letters, which the bus will never take. A metric label and a header.
pub(super) const REFUSED: &str = "refused-by-bus";

/// The index of a topic in [`Topic::ALL`].
pub(super) const fn index(topic: Topic) -> usize {
    topic as usize
}

/// An error with its causes, in one line of bounded length.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = causes(error);
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}
