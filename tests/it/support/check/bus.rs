//! I5: Kafka read back from the beginning, against the journal.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use super::Violation;
use super::journal::JournalRows;
use crate::support::deployment::Deployment;
use crate::support::wait::LONG;

/// Topics on which the order role publishes.
const TOPICS: [&str; 4] = [
    "ORDER_CREATED",
    "ORDER_STATUS_UPDATED",
    "ORDER_CANCELLED",
    "ORDER_DELIVERED",
];

/// What every message of ours has.
const HEADERS: [&str; 10] = [
    "ce_id",
    "ce_source",
    "ce_specversion",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_dataschema",
    "ce_orderversion",
    "content-type",
    "traceparent",
];

const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A published message, as far as its place matters.
#[derive(Clone, Debug)]
pub struct Published {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// By the clock of the relay that sent it.
    pub at_ms: i64,
    pub order: Uuid,
    pub version: u32,
    pub id: String,
    pub status: Option<String>,
}

/// Reads everything that the order role has published. Blocks.
pub fn read_back(brokers: &str, prefix: &str) -> Vec<Published> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{prefix}reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .create()
        .expect("a consumer");
    let mut open = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for topic in TOPICS.map(|topic| format!("{prefix}{topic}")) {
        let metadata = insist("the topics' metadata", || {
            consumer.fetch_metadata(Some(&topic), ANSWER_MAX)
        });
        for partition in metadata.topics()[0].partitions() {
            let id = partition.id();
            let (low, high) = insist("a partition's watermarks", || {
                consumer.fetch_watermarks(&topic, id, ANSWER_MAX)
            });
            if low < high {
                open.insert((topic.clone(), id), high);
                let add = assignment.add_partition_offset(&topic, id, Offset::Beginning);
                add.expect("an offset");
            }
        }
    }
    consumer.assign(&assignment).expect("assign");
    let mut read = Vec::new();
    while !open.is_empty() {
        // Errors come before messages while a partition's leader is still being found.
        let message = insist("the next message", || {
            consumer
                .poll(ANSWER_MAX)
                .expect("the broker goes on sending")
        });
        let place = (message.topic().to_owned(), message.partition());
        if open
            .get(&place)
            .is_some_and(|high| message.offset() + 1 >= *high)
        {
            open.remove(&place);
        }
        read.push(parse(&message, prefix));
    }
    read
}

/// Asks until there is an answer: a partition that was made a moment ago has no leader yet.
fn insist<T>(what: &str, ask: impl Fn() -> KafkaResult<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > end => panic!("{what}: {error}"),
            // The time until the broker may have made up its mind.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn parse(message: &BorrowedMessage<'_>, prefix: &str) -> Published {
    let headers = message.headers().expect("messages have headers");
    let header = |name: &str| {
        let found = headers.iter().find(|header| header.key == name);
        let value = found.and_then(|header| header.value);
        String::from_utf8_lossy(value.unwrap_or_else(|| panic!("no {name}"))).into_owned()
    };
    for name in HEADERS {
        assert!(!header(name).is_empty(), "{name}");
    }
    let order: Uuid = header("ce_subject")
        .parse()
        .expect("the subject is an order");
    assert_eq!(message.key(), Some(order.to_string().as_bytes()), "the key");
    let payload: serde_json::Value =
        serde_json::from_slice(message.payload().expect("a value")).expect("JSON");
    Published {
        topic: message.topic().trim_start_matches(prefix).to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        at_ms: message.timestamp().to_millis().expect("a timestamp"),
        order,
        version: header("ce_orderversion").parse().expect("a version"),
        id: header("ce_id"),
        status: payload["status"].as_str().map(str::to_owned),
    }
}

/// What doesn't hold.
pub async fn check(deployment: &Deployment, rows: &JournalRows) -> Vec<Violation> {
    let (brokers, prefix) = (deployment.kafka.clone(), deployment.kafka_prefix.clone());
    let read = tokio::task::spawn_blocking(move || read_back(&brokers, &prefix));
    let read = read.await.expect("reading back doesn't panic");
    let mut found = Vec::new();
    let inventory =
        crate::support::databases::number(&deployment.inventory_url, "SELECT count(*) FROM outbox");
    let waiting = [rows.outbox, inventory.await];
    if waiting != [0, 0] {
        let detail = format!("the outboxes still hold {waiting:?}");
        found.push(Violation::new(Invariant::Outbox, detail));
    }
    let mut by_order: HashMap<Uuid, Vec<&Published>> = HashMap::new();
    for message in &read {
        by_order.entry(message.order).or_default().push(message);
    }
    for (id, messages) in &by_order {
        for message in messages {
            found.extend(was_committed(rows, *id, message));
        }
    }
    for (id, events) in &rows.events {
        let none = Vec::new();
        let messages = by_order.get(id).unwrap_or(&none);
        for event in events {
            for topic in topics_of(event.version, &event.status) {
                let sent = |m: &&&Published| m.version == event.version && m.topic == *topic;
                if messages.iter().find(sent).is_none() {
                    let detail = format!("{id}: {event:?} never reached {topic}");
                    found.push(Violation::new(Invariant::Outbox, detail));
                }
            }
        }
        found.extend(in_order(*id, messages));
    }
    found
}

/// I3: what was published is in the journal.
fn was_committed(rows: &JournalRows, id: Uuid, message: &Published) -> Option<Violation> {
    let stored = rows.status_at(id, message.version);
    let same = match &message.status {
        // The whole order as placed, and a step: both name the status of that version.
        Some(status) => stored == Some(status),
        None => stored.is_some(),
    };
    (!same).then(|| {
        let detail = format!("{message:?} was published; the journal: {stored:?}");
        Violation::new(Invariant::DurableFirst, detail)
    })
}

fn topics_of(version: u32, status: &str) -> &'static [&'static str] {
    match (version, status) {
        (1, _) => &["ORDER_CREATED"],
        (_, "CANCELLED") => &["ORDER_STATUS_UPDATED", "ORDER_CANCELLED"],
        (_, "DELIVERED") => &["ORDER_STATUS_UPDATED", "ORDER_DELIVERED"],
        _ => &["ORDER_STATUS_UPDATED"],
    }
}

/// First occurrences are in version order, by the partition's order where both are in one partition,
/// else by when they were sent: a message is sent only after all lower versions are acknowledged.
fn in_order(id: Uuid, messages: &[&Published]) -> Vec<Violation> {
    let mut first: BTreeMap<(u32, &str), &Published> = BTreeMap::new();
    let mut found = Vec::new();
    for message in messages {
        // A relay that slept may send late what it took up long ago: the partition's order counts.
        let is_earlier = |one: &Published, other: &Published| {
            if one.partition == other.partition {
                one.offset < other.offset
            } else {
                one.at_ms < other.at_ms
            }
        };
        let known = first
            .entry((message.version, &message.topic))
            .or_insert(message);
        if known.id != message.id {
            let detail = format!("{id}: sent again under another id: {known:?} {message:?}");
            found.push(Violation::new(Invariant::Outbox, detail));
        }
        if is_earlier(message, known) {
            *known = message;
        }
    }
    let firsts: Vec<&Published> = first.into_values().collect();
    for pair in firsts.windows(2) {
        let (lower, higher) = (pair[0], pair[1]);
        let same_place = (&lower.topic, lower.partition) == (&higher.topic, higher.partition);
        let overtaken = if same_place {
            higher.offset < lower.offset
        } else {
            higher.at_ms < lower.at_ms
        };
        if lower.version < higher.version && overtaken {
            let detail = format!("{id}: {higher:?} overtook {lower:?}");
            found.push(Violation::new(Invariant::Outbox, detail));
        }
    }
    found
}
