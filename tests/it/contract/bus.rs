//! The suite of the bus port. A fixture gives topics, groups and connections; every test makes its
//! own topics, so that adapters over a shared server can run it side by side.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use trackops::ports::bus::{Bus, InMessage, MESSAGE_BYTES_MAX, Polled, PublishError, RawMessage};

use super::bus_support::{
    collect, commit_all, join, message, numbered, numbers, poll, publish, take, topic, topic_name,
    unique, values, within,
};

/// What the suite needs of an adapter.
#[async_trait]
pub trait BusFixture: Send + Sync {
    /// Another connection to the same bus, as a process that starts makes it. Topics that it
    /// creates have at least four partitions.
    async fn connect(&self) -> Arc<dyn Bus>;
}

/// Declares every test of the suite for `$fixture`, an async expression giving a [`BusFixture`].
#[macro_export]
macro_rules! bus_contract {
    ($fixture:expr) => {
        $crate::bus_contract!(@tests $fixture;
            keeps_order_within_a_key,
            carries_key_headers_and_value,
            starts_a_new_group_at_the_beginning,
            redelivers_what_was_not_committed,
            resumes_after_the_committed_offset,
            keeps_groups_apart,
            shares_partitions_within_a_group,
            hands_over_when_a_member_leaves,
            pauses_and_resumes_a_partition,
            reads_what_was_paused_and_went_away_and_came_back,
            names_and_creates_missing_topics,
            reads_outside_any_group,
            answers_for_each_message,
            forwards_any_bytes,
            counts_what_is_unread,
        );
    };
    (@tests $fixture:expr; $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = $fixture.await;
                $crate::contract::bus::$name(&fixture).await;
            }
        )+
    };
}

/// One key's messages come back in the order in which they were published.
pub async fn keeps_order_within_a_key(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    for batch in 0..5 {
        let messages = (0..40)
            .map(|n| {
                message(
                    &topic,
                    &format!("k{}", n % 4),
                    &format!("{:03}", batch * 40 + n),
                )
            })
            .collect();
        publish(&*bus, messages).await;
    }
    let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
    let messages = take(&mut *consumer, 200).await;
    consumer.close().await;
    let mut by_key = BTreeMap::<Bytes, Vec<Bytes>>::new();
    for message in messages {
        by_key
            .entry(message.key.unwrap())
            .or_default()
            .push(message.payload.unwrap());
    }
    assert_eq!(by_key.len(), 4);
    for values in by_key.values() {
        assert_eq!(values.len(), 50);
        assert!(values.is_sorted(), "{values:?}");
    }
}

/// What goes in comes out; the topic's name has no prefix.
pub async fn carries_key_headers_and_value(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let mut with = message(&topic, "the key", "{\"ä\":1}");
    with.headers = vec![("ce_id", "42".into()), ("traceparent", "00-ü".into())];
    let mut without = message(&topic, "", "");
    without.headers.clear();
    publish(&*bus, vec![with]).await;
    publish(&*bus, vec![without]).await;
    let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
    let messages = take(&mut *consumer, 2).await;
    consumer.close().await;
    let with = messages.iter().find(|m| !m.headers.is_empty()).unwrap();
    assert_eq!(&*with.topic, &*topic);
    assert_eq!(with.key.as_deref(), Some("the key".as_bytes()));
    assert_eq!(with.payload.as_deref(), Some("{\"ä\":1}".as_bytes()));
    assert_eq!(with.header("ce_id"), Some("42"));
    assert_eq!(with.header("traceparent"), Some("00-ü"));
    assert!(with.timestamp_ms > 1_600_000_000_000);
    let without = messages.iter().find(|m| m.headers.is_empty()).unwrap();
    assert_eq!(without.key, None, "an empty key is no key");
    assert_eq!(without.payload.as_deref(), Some(&b""[..]));
}

/// A group that has never committed sees everything, also what is older than itself.
pub async fn starts_a_new_group_at_the_beginning(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    publish(&*bus, numbered(&topic, 0..20)).await;
    let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
    assert_eq!(values(&take(&mut *consumer, 20).await), numbers(0..20));
    publish(&*bus, numbered(&topic, 20..30)).await;
    assert_eq!(values(&take(&mut *consumer, 10).await), numbers(20..30));
    consumer.close().await;
}

/// What was read and not committed comes again after a restart, on another connection.
pub async fn redelivers_what_was_not_committed(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let group = unique("g");
    publish(&*bus, numbered(&topic, 0..20)).await;
    let mut consumer = join(&*bus, &topic, &group, "a").await;
    assert_eq!(take(&mut *consumer, 20).await.len(), 20);
    consumer.close().await;
    let bus = fixture.connect().await;
    let mut consumer = join(&*bus, &topic, &group, "a").await;
    assert_eq!(values(&take(&mut *consumer, 20).await), numbers(0..20));
    consumer.close().await;
}

/// A committed offset is the next one to be read, per partition.
pub async fn resumes_after_the_committed_offset(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let group = unique("g");
    publish(&*bus, numbered(&topic, 0..20)).await;
    let mut consumer = join(&*bus, &topic, &group, "a").await;
    let messages = take(&mut *consumer, 20).await;
    // All but the last message of each partition.
    let mut ends = BTreeMap::new();
    for message in &messages {
        ends.insert(message.partition, message.offset);
    }
    let next: Vec<_> = ends
        .iter()
        .map(|(partition, last)| (Arc::clone(&topic), *partition, *last))
        .collect();
    consumer.commit(&next).await.unwrap();
    consumer.close().await;

    let bus = fixture.connect().await;
    let mut consumer = join(&*bus, &topic, &group, "a").await;
    let again = take(&mut *consumer, ends.len()).await;
    let seen: BTreeMap<i32, i64> = again.iter().map(|m| (m.partition, m.offset)).collect();
    assert_eq!(seen, ends, "the last of each partition, and nothing else");
    commit_all(&mut *consumer, &again).await;
    publish(&*bus, numbered(&topic, 20..25)).await;
    assert_eq!(values(&take(&mut *consumer, 5).await), numbers(20..25));
    consumer.close().await;
}

/// Each group sees every message, whatever the others have committed.
pub async fn keeps_groups_apart(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    publish(&*bus, numbered(&topic, 0..10)).await;
    for _ in 0..2 {
        let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
        let messages = take(&mut *consumer, 10).await;
        assert_eq!(values(&messages), numbers(0..10));
        commit_all(&mut *consumer, &messages).await;
        consumer.close().await;
    }
}

/// A second member takes over some partitions: the first is told which, and from then on each
/// message goes to one of them.
pub async fn shares_partitions_within_a_group(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let group = unique("g");
    publish(&*bus, numbered(&topic, 0..40)).await;
    let mut first = join(&*bus, &topic, &group, "a").await;
    let messages = take(&mut *first, 40).await;
    let all: BTreeSet<i32> = messages.iter().map(|m| m.partition).collect();
    commit_all(&mut *first, &messages).await;

    let other = fixture.connect().await;
    let mut second = join(&*other, &topic, &group, "b").await;
    let mut revoked = BTreeSet::new();
    within("a rebalance", async {
        while revoked.is_empty() {
            if let Polled::Revoked(gone) = poll(&mut *first).await {
                revoked.extend(gone.into_iter().map(|(_, partition)| partition));
            }
            assert!(matches!(poll(&mut *second).await, Polled::Messages(m) if m.is_empty()));
        }
    })
    .await;
    assert!(!all.is_subset(&revoked), "some stay with the first member");

    publish(&*bus, numbered(&topic, 40..120)).await;
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    within("both members' messages", async {
        while of_first.len() + of_second.len() < 80 {
            collect(poll(&mut *first).await, &mut of_first);
            collect(poll(&mut *second).await, &mut of_second);
        }
    })
    .await;
    let mut both = of_first.clone();
    both.extend(of_second.clone());
    assert_eq!(values(&both), numbers(40..120), "each once");
    assert!(!of_second.is_empty() && !of_first.is_empty());
    assert!(of_first.iter().all(|m| !revoked.contains(&m.partition)));
    first.close().await;
    second.close().await;
}

/// What a member that has gone had not committed comes to the one that stays.
pub async fn hands_over_when_a_member_leaves(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let group = unique("g");
    publish(&*bus, numbered(&topic, 0..20)).await;
    let mut first = join(&*bus, &topic, &group, "a").await;
    assert_eq!(take(&mut *first, 20).await.len(), 20);
    first.close().await;
    let mut second = join(&*bus, &topic, &group, "b").await;
    assert_eq!(values(&take(&mut *second, 20).await), numbers(0..20));
    second.close().await;
}

/// A paused partition brings nothing while its neighbours go on, and loses nothing.
pub async fn pauses_and_resumes_a_partition(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    publish(&*bus, numbered(&topic, 0..40)).await;
    let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
    let messages = take(&mut *consumer, 40).await;
    let stopped = messages[0].partition;
    let key_on = |wanted: bool| {
        let found = messages.iter().find(|m| (m.partition == stopped) == wanted);
        String::from_utf8(found.unwrap().key.clone().unwrap().to_vec()).unwrap()
    };
    let (paused_key, other_key) = (key_on(true), key_on(false));
    let partitions = [(Arc::clone(&topic), stopped)];
    consumer.pause(&partitions).await.unwrap();
    publish(&*bus, vec![message(&topic, &paused_key, "held")]).await;
    for round in ["x", "y", "z"] {
        publish(&*bus, vec![message(&topic, &other_key, round)]).await;
        let got = take(&mut *consumer, 1).await;
        assert_eq!(got[0].payload.as_deref(), Some(round.as_bytes()));
    }
    consumer.resume(&partitions).await.unwrap();
    let got = take(&mut *consumer, 1).await;
    assert_eq!(got[0].payload.as_deref(), Some(&b"held"[..]));
    consumer.close().await;
}

/// A pause ends with the assignment: what a member had paused, lost and got again it reads.
pub async fn reads_what_was_paused_and_went_away_and_came_back(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let group = unique("g");
    publish(&*bus, numbered(&topic, 0..40)).await;
    let mut first = join(&*bus, &topic, &group, "a").await;
    let messages = take(&mut *first, 40).await;
    commit_all(&mut *first, &messages).await;
    let all: BTreeSet<i32> = messages.iter().map(|m| m.partition).collect();
    let named = |partitions: &BTreeSet<i32>| -> Vec<(Arc<str>, i32)> {
        let each = partitions.iter();
        each.map(|number| (Arc::clone(&topic), *number)).collect()
    };
    first.pause(&named(&all)).await.unwrap();

    let other = fixture.connect().await;
    let mut second = join(&*other, &topic, &group, "b").await;
    let mut gone = BTreeSet::new();
    within("a rebalance", async {
        while gone.is_empty() {
            if let Polled::Revoked(revoked) = poll(&mut *first).await {
                gone.extend(revoked.into_iter().map(|(_, partition)| partition));
            }
            let _ = poll(&mut *second).await;
        }
    })
    .await;
    second.close().await;

    publish(&*bus, numbered(&topic, 40..80)).await;
    let there = bus.read(&topic, None, 100).await.unwrap();
    let last: BTreeMap<i32, i64> = there.iter().map(|m| (m.partition, m.offset)).collect();
    let mut read = Vec::new();
    within("what had been paused, gone and come back", async {
        while gone.iter().any(|p| {
            !read
                .iter()
                .any(|m: &InMessage| m.partition == *p && m.offset == last[p])
        }) {
            collect(poll(&mut *first).await, &mut read);
        }
    })
    .await;
    let stayed = &all - &gone;
    assert!(
        read.iter().all(|m| !stayed.contains(&m.partition)),
        "what stayed is paused still"
    );
    first.resume(&named(&stayed)).await.unwrap();
    within("the rest", async {
        while read.len() < 40 {
            collect(poll(&mut *first).await, &mut read);
        }
    })
    .await;
    assert_eq!(values(&read), numbers(40..80), "each once");
    first.close().await;
}

/// Missing topics are named until they are created; creating one that is there is no error.
pub async fn names_and_creates_missing_topics(fixture: &dyn BusFixture) {
    let (bus, there) = topic(fixture).await;
    let missing = topic_name();
    let both = [Arc::clone(&there), Arc::clone(&missing)];
    assert_eq!(
        bus.missing_topics(&both).await.unwrap(),
        [Arc::clone(&missing)]
    );
    bus.create_topics(&both).await.unwrap();
    assert!(bus.missing_topics(&both).await.unwrap().is_empty());
    publish(&*bus, numbered(&missing, 0..1)).await;
}

/// Reading outside a group goes by partition and offset, in pages, and commits nothing.
pub async fn reads_outside_any_group(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    assert!(bus.read(&topic, None, 10).await.unwrap().is_empty());
    publish(&*bus, numbered(&topic, 0..30)).await;
    let all = bus.read(&topic, None, 100).await.unwrap();
    assert_eq!(values(&all), numbers(0..30));
    let place = |m: &InMessage| (m.partition, m.offset);
    assert!(all.is_sorted_by_key(place), "by partition, then offset");
    let mut paged = Vec::new();
    let mut from = None;
    loop {
        let page = bus.read(&topic, from, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        from = Some((last.partition, last.offset + 1));
        assert!(page.len() <= 7);
        paged.extend(page);
    }
    assert_eq!(
        paged.iter().map(place).collect::<Vec<_>>(),
        all.iter().map(place).collect::<Vec<_>>()
    );
    let one = bus.read(&topic, Some(place(&all[12])), 1).await.unwrap();
    assert_eq!(one[0].payload, all[12].payload);
}

/// A message that the bus won't take is refused alone.
pub async fn answers_for_each_message(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let huge = "x".repeat(MESSAGE_BYTES_MAX * 3);
    let results = bus
        .publish(vec![
            message(&topic, "a", "1"),
            message(&topic, "b", &huge),
            message(&topic, "c", "3"),
        ])
        .await;
    assert!(matches!(
        results[..],
        [Ok(()), Err(PublishError::Refused(_)), Ok(())]
    ));
    let there = bus.read(&topic, None, 10).await.unwrap();
    assert_eq!(there.len(), 2);
    assert!(bus.publish(Vec::new()).await.is_empty());
}

/// Keys, header names and values that are no text of ours, and a tombstone, pass unchanged.
pub async fn forwards_any_bytes(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    let odd = RawMessage {
        topic: Arc::clone(&topic),
        key: Some(Bytes::from_static(b"\xff\x00k")),
        headers: vec![
            ("x-any name".into(), Bytes::from_static(b"\xfe\x00")),
            ("ce_id".into(), Bytes::from_static(b"")),
        ],
        payload: Some(Bytes::from_static(b"\x00\xff")),
    };
    bus.forward(odd.clone()).await.unwrap();
    let tombstone = RawMessage {
        topic: Arc::clone(&topic),
        ..RawMessage::default()
    };
    bus.forward(tombstone).await.unwrap();
    let there = bus.read(&topic, None, 10).await.unwrap();
    assert_eq!(there.len(), 2);
    let first = there.iter().find(|m| m.key.is_some()).unwrap();
    assert_eq!((&first.key, &first.payload), (&odd.key, &odd.payload));
    let headers = odd.headers.into_iter();
    let headers = headers.map(|(name, value)| (name.into(), value)).collect();
    assert_eq!(first.headers, headers);
    let second = there.iter().find(|m| m.key.is_none()).unwrap();
    assert_eq!((&second.payload, second.headers.len()), (&None, 0));
    let huge = RawMessage {
        topic,
        payload: Some(vec![b'x'; MESSAGE_BYTES_MAX * 3].into()),
        ..RawMessage::default()
    };
    let refused = bus.forward(huge).await;
    assert!(matches!(refused, Err(PublishError::Refused(_))));
}

/// Lag is what has not been read yet.
pub async fn counts_what_is_unread(fixture: &dyn BusFixture) {
    let (bus, topic) = topic(fixture).await;
    publish(&*bus, numbered(&topic, 0..20)).await;
    let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
    let messages = take(&mut *consumer, 20).await;
    assert_eq!(consumer.lag().await.unwrap().get(&topic), Some(&0));
    let partitions: BTreeSet<_> = messages
        .iter()
        .map(|m| (Arc::clone(&topic), m.partition))
        .collect();
    let partitions: Vec<_> = partitions.into_iter().collect();
    consumer.pause(&partitions).await.unwrap();
    publish(&*bus, numbered(&topic, 0..20)).await;
    assert_eq!(consumer.lag().await.unwrap().get(&topic), Some(&20));
    consumer.close().await;
}
