//! The suite of the port of consumer groups, beside that of the bus: a fixture is one of both.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;

use async_trait::async_trait;
use trackops::ports::groups::{Groups, Progress};
use uuid::Uuid;

use super::bus::BusFixture;
use super::bus_support::{join, message, publish, take, topic, unique};

/// What the suite needs of an adapter.
#[async_trait]
pub trait GroupsFixture: BusFixture {
    /// The groups of the same bus, as another process has them.
    async fn groups(&self) -> Arc<dyn Groups>;
}

/// Declares every test of the suite for `$fixture`, an async expression giving a [`GroupsFixture`].
#[macro_export]
macro_rules! groups_contract {
    ($fixture:expr) => {
        $crate::groups_contract!(@tests $fixture;
            tells_where_a_group_stands,
            keeps_marks,
            knows_where_a_key_is,
        );
    };
    (@tests $fixture:expr; $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = $fixture.await;
                $crate::contract::groups::$name(&fixture).await;
            }
        )+
    };
}

/// Read or not, by whomever: where a group stands is seen from outside.
pub async fn tells_where_a_group_stands(fixture: &dyn GroupsFixture) {
    let (bus, topic) = topic(fixture).await;
    let (groups, group) = (fixture.groups().await, unique("g"));
    publish(
        &*bus,
        vec![message(&topic, "k", "1"), message(&topic, "k", "2")],
    )
    .await;
    let stands = async || {
        let found = groups
            .progress(&group, std::slice::from_ref(&topic))
            .await
            .unwrap();
        let partitions = &found[&topic];
        assert!(partitions.len() >= 4, "{partitions:?}");
        partitions[groups.partition_of("k", partitions.len())]
    };
    let (committed, end) = (None, 2);
    assert_eq!(stands().await, Progress { committed, end });
    let mut consumer = join(&*bus, &topic, &group, "a").await;
    let messages = take(&mut *consumer, 2).await;
    let first = &messages[0];
    let next = (topic.clone(), first.partition, first.offset + 1);
    consumer.commit(&[next]).await.unwrap();
    let committed = Some(1);
    assert_eq!(stands().await, Progress { committed, end });
    consumer.close().await;
    assert_eq!(stands().await, Progress { committed, end }, "nobody reads");
    let missing = unique("missing");
    let found = groups.progress(&group, &[missing]).await.unwrap();
    assert!(found.values().all(Vec::is_empty), "{found:?}");
}

/// A group without members keeps what is marked for it, also for others.
pub async fn keeps_marks(fixture: &dyn GroupsFixture) {
    let (bus, topic) = topic(fixture).await;
    let (groups, group) = (fixture.groups().await, unique("marks"));
    publish(
        &*bus,
        vec![message(&topic, "k", "1"), message(&topic, "k", "2")],
    )
    .await;
    for offset in [1, 2] {
        groups
            .mark(&group, &[(topic.clone(), 2, offset)])
            .await
            .unwrap();
        let others = fixture.groups().await;
        let found = others
            .progress(&group, std::slice::from_ref(&topic))
            .await
            .unwrap();
        let committed: Vec<_> = found[&topic].iter().map(|place| place.committed).collect();
        assert_eq!(committed[2], Some(offset), "{committed:?}");
        assert_eq!(committed.iter().flatten().count(), 1, "{committed:?}");
    }
}

/// What is known of a key's partition is where its messages are.
pub async fn knows_where_a_key_is(fixture: &dyn GroupsFixture) {
    let (bus, topic) = topic(fixture).await;
    let groups = fixture.groups().await;
    let keys: Vec<String> = (0..40).map(|_| Uuid::now_v7().to_string()).collect();
    let odd = (1..9).map(|length| "abcdefghi"[..length].to_owned());
    let keys: Vec<String> = keys.into_iter().chain(odd).collect();
    let messages = keys.iter().map(|key| message(&topic, key, key)).collect();
    publish(&*bus, messages).await;
    let found = groups
        .progress("nobody", std::slice::from_ref(&topic))
        .await
        .unwrap();
    let mut consumer = join(&*bus, &topic, &unique("g"), "a").await;
    for message in take(&mut *consumer, keys.len()).await {
        let key = String::from_utf8(message.key.unwrap().to_vec()).unwrap();
        let expected = groups.partition_of(&key, found[&topic].len());
        assert_eq!(
            usize::try_from(message.partition).unwrap(),
            expected,
            "{key}"
        );
    }
    consumer.close().await;
}
