//! Roles on a broker that lets each do only what the table in `docs/security.md` gives it: they do their work, and
//! nobody else can finish an order.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use trackops::model::topic::Topic;
use uuid::Uuid;
use xtask::servers::{AclOperation, AclResource, KafkaLaunch, Right, allow, free_port};

use crate::support::bodies::order;
use crate::support::deployment::{Deployment, Options};
use crate::support::own_servers::Own;
use crate::support::wait::until;

/// The users, each with the password `<name>-secret`.
const USERS: [&str; 5] = ["order", "inventory", "relay", "kitchens", "stranger"];

/// What a role may do beside describing topics: as the table says it.
struct Work {
    role: &'static str,
    reads: &'static [Topic],
    writes: &'static [Topic],
    groups: &'static [&'static str],
}

const WORK: [Work; 3] = [
    Work {
        role: "order",
        reads: &[
            Topic::InventoryReserved,
            Topic::InventoryReservationFailed,
            Topic::InventoryReleased,
            Topic::FulfillmentUpdates,
        ],
        writes: &[],
        groups: &["trackops-orders"],
    },
    Work {
        role: "inventory",
        reads: &[
            Topic::OrderCreated,
            Topic::OrderCancelled,
            Topic::OrderDelivered,
        ],
        writes: &[],
        groups: &["trackops-inventory", "trackops-inventory-replied"],
    },
    Work {
        role: "relay",
        reads: &[],
        writes: &[
            Topic::OrderCreated,
            Topic::OrderStatusUpdated,
            Topic::OrderCancelled,
            Topic::OrderDelivered,
            Topic::InventoryReserved,
            Topic::InventoryReservationFailed,
            Topic::InventoryReleased,
        ],
        groups: &[],
    },
];

#[tokio::test]
async fn nobody_finishes_an_order_without_the_right_to() {
    let port = free_port().expect("a free port");
    let kafka = Own::<KafkaLaunch>::start_on(move |dir| {
        let passwords = USERS.map(|user| format!("{user}-secret"));
        let users: Vec<(&str, &str)> = USERS
            .into_iter()
            .zip(passwords.iter().map(String::as_str))
            .collect();
        KafkaLaunch::listen_by_sasl(dir, port, &users)
    })
    .await;
    let mut deployment = Deployment::start(Options {
        kafka: Some(kafka.url()),
        ..Options::default()
    })
    .await;
    let prefix = deployment.kafka_prefix.clone();
    let everybodys = kafka.port();
    let rights_of = prefix.clone();
    tokio::task::spawn_blocking(move || give_rights(everybodys, &rights_of))
        .await
        .expect("no panic");
    let brokers = format!("127.0.0.1:{port}");
    // The last right that was given.
    let last = format!("{prefix}{}", Topic::FulfillmentUpdates);
    until("the broker knows the rights", || async {
        let (brokers, last) = (brokers.clone(), last.clone());
        let seen = tokio::task::spawn_blocking(move || is_seen(&brokers, &last));
        seen.await.expect("no panic").then_some(())
    })
    .await;

    // From now on each role is a user of its own.
    for role in deployment.roles() {
        role.kill();
        let user = role.launch.name.clone();
        let more = [
            ("KAFKA_BROKERS", brokers.clone()),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT".into()),
            ("KAFKA_SASL_MECHANISM", "PLAIN".into()),
            ("KAFKA_SASL_PASSWORD", format!("{user}-secret")),
            ("KAFKA_SASL_USERNAME", user),
        ];
        let more = more.map(|(name, value)| (format!("TRACKOPS_{name}"), value));
        role.launch.environment.extend(more);
        role.respawn(None);
    }
    for role in deployment.roles() {
        role.ready().await;
    }
    let client = &deployment.client;
    let id = client.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;
    client.advance(id, "PREPARING", &[]).await.expect(200);
    client.advance(id, "IN_TRANSIT", &[]).await.expect(200);

    let (updates, replies) = (Topic::FulfillmentUpdates, Topic::InventoryReleased);
    for (user, topic) in [
        ("stranger", updates),
        ("stranger", replies),
        ("kitchens", replies),
        ("inventory", updates),
        ("relay", updates),
    ] {
        let refused = report(&brokers, user, &prefix, topic, id).await;
        let Err(KafkaError::MessageProduction(code)) = refused else {
            panic!("{user} at {topic}: {refused:?}");
        };
        assert_eq!(code, RDKafkaErrorCode::TopicAuthorizationFailed, "{user}");
    }
    let view = client.show(id).await;
    assert_eq!(view.text("status"), "IN_TRANSIT");

    // Who has the right, finishes it.
    let sent = report(&brokers, "kitchens", &prefix, updates, id).await;
    assert_eq!(sent, Ok(()));
    client.reaches(id, "DELIVERED").await;
    for role in deployment.roles() {
        let log = role.log();
        let refusal = log
            .lines()
            .find(|line| line.to_lowercase().contains("authoriz"));
        assert_eq!(refusal, None, "{}", role.launch.name);
        assert!(!log.contains("-secret"), "a password is in the log");
    }
}

fn give_rights(port: u16, prefix: &str) {
    let mut rights = Vec::new();
    let mut give = |user, resource, name: String, operation| {
        rights.push((user, resource, name, operation));
    };
    for work in WORK {
        let user = work.role;
        for topic in work.reads {
            let name = format!("{prefix}{topic}");
            give(user, AclResource::Topic, name, AclOperation::Read);
            let parked = format!("{prefix}{topic}.dlq");
            give(user, AclResource::Topic, parked, AclOperation::Write);
        }
        for topic in work.writes {
            let name = format!("{prefix}{topic}");
            give(user, AclResource::Topic, name, AclOperation::Write);
        }
        for group in work.groups {
            let name = format!("{prefix}{group}");
            give(user, AclResource::Group, name, AclOperation::Read);
        }
        for topic in Topic::all_with_dead_letters() {
            let name = format!("{prefix}{topic}");
            give(user, AclResource::Topic, name, AclOperation::Describe);
        }
    }
    for group in ["trackops-inventory", "trackops-inventory-replied"] {
        let name = format!("{prefix}{group}");
        give("order", AclResource::Group, name, AclOperation::Describe);
    }
    let updates = format!("{prefix}{}", Topic::FulfillmentUpdates);
    give("kitchens", AclResource::Topic, updates, AclOperation::Write);
    let rights: Vec<Right<'_>> = rights
        .iter()
        .map(|(user, resource, name, operation)| Right {
            user,
            resource: *resource,
            name,
            operation: *operation,
        })
        .collect();
    allow(port, &rights).expect("the broker gives them");
}

/// Whether the user `kitchens` is shown `topic`.
fn is_seen(brokers: &str, topic: &str) -> bool {
    let consumer: BaseConsumer = config(brokers, "kitchens").create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10));
    let metadata = metadata.expect("the broker answers");
    metadata
        .topics()
        .iter()
        .all(|topic| topic.error().is_none())
}

fn config(brokers: &str, user: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", user)
        .set("sasl.password", format!("{user}-secret"));
    config
}

/// Reports as `user` that the order was delivered.
async fn report(
    brokers: &str,
    user: &str,
    prefix: &str,
    topic: Topic,
    id: Uuid,
) -> Result<(), KafkaError> {
    let producer: FutureProducer = config(brokers, user).create().expect("a producer");
    let (topic, key) = (format!("{prefix}{topic}"), id.to_string());
    let body = json!({"orderId": id, "status": "DELIVERED", "at": "2026-01-31T12:00:00Z"});
    let body = body.to_string();
    let record = FutureRecord::to(&topic).key(&key).payload(&body);
    let sent = producer.send(record, Duration::from_secs(20)).await;
    sent.map(drop).map_err(|(error, _)| error)
}
