//! What the suite of the bus port does again and again: topics of its own, messages by number, waits.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trackops::ports::bus::{Bus, Consumer, InMessage, OutMessage, Polled, Subscription};
use uuid::Uuid;

use super::bus::BusFixture;

/// Longest wait for something that must happen: a static member's session (6 s) and a rebalance
/// fit in it twice.
const PATIENCE: Duration = Duration::from_secs(30);

/// A name that no other test has.
pub(super) fn unique(what: &str) -> Arc<str> {
    format!("{what}-{}", Uuid::now_v7().simple()).into()
}

pub(super) fn topic_name() -> Arc<str> {
    unique("TOPIC")
}

pub(super) async fn topic(fixture: &dyn BusFixture) -> (Arc<dyn Bus>, Arc<str>) {
    let bus = fixture.connect().await;
    let topic = topic_name();
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    (bus, topic)
}

pub(super) async fn join(
    bus: &dyn Bus,
    topic: &Arc<str>,
    group: &Arc<str>,
    member: &str,
) -> Box<dyn Consumer> {
    bus.subscribe(Subscription {
        group: Arc::clone(group),
        topics: vec![Arc::clone(topic)],
        member: member.into(),
    })
    .await
    .unwrap()
}

pub(super) fn message(topic: &Arc<str>, key: &str, value: &str) -> OutMessage {
    OutMessage {
        topic: Arc::clone(topic),
        key: key.into(),
        headers: vec![("ce_specversion", "1.0".into())],
        payload: Bytes::copy_from_slice(value.as_bytes()),
    }
}

/// One message for each number, each with its own key.
pub(super) fn numbered(topic: &Arc<str>, range: std::ops::Range<u32>) -> Vec<OutMessage> {
    range
        .map(|n| message(topic, &format!("key-{n}"), &format!("{n:05}")))
        .collect()
}

pub(super) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{n:05}")).collect()
}

/// The values, sorted; one that came twice stands twice.
pub(super) fn values(messages: &[InMessage]) -> Vec<String> {
    let mut values: Vec<String> = messages
        .iter()
        .map(|m| String::from_utf8(m.payload.clone().unwrap().to_vec()).unwrap())
        .collect();
    values.sort();
    values
}

pub(super) async fn publish(bus: &dyn Bus, messages: Vec<OutMessage>) {
    for result in bus.publish(messages).await {
        result.unwrap();
    }
}

pub(super) async fn poll(consumer: &mut dyn Consumer) -> Polled {
    consumer
        .poll(100, Duration::from_millis(100))
        .await
        .unwrap()
}

pub(super) fn collect(polled: Polled, into: &mut Vec<InMessage>) {
    if let Polled::Messages(messages) = polled {
        into.extend(messages);
    }
}

/// Polls until `count` messages are there; more than that is a failure.
pub(super) async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<InMessage> {
    let mut messages = Vec::new();
    within("messages", async {
        while messages.len() < count {
            collect(poll(consumer).await, &mut messages);
        }
    })
    .await;
    assert_eq!(messages.len(), count, "{messages:?}");
    messages
}

/// Commits the end of each partition in `messages`.
pub(super) async fn commit_all(consumer: &mut dyn Consumer, messages: &[InMessage]) {
    let mut next = BTreeMap::new();
    for message in messages {
        next.insert(
            (Arc::clone(&message.topic), message.partition),
            message.offset + 1,
        );
    }
    let next: Vec<_> = next
        .into_iter()
        .map(|((topic, partition), offset)| (topic, partition, offset))
        .collect();
    consumer.commit(&next).await.unwrap();
}

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
