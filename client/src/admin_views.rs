//! What operations sees.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::status::Status;
use super::timestamp::Timestamp;

/// A dead letter's place.
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
    /// `TOPIC/PARTITION/OFFSET`, as [`DeadLetter::id`] has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A message that could not be handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its place: `TOPIC/PARTITION/OFFSET`.
    pub id: String,
    /// The topic that it came from.
    pub topic: String,
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// Where it stood in its own topic.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// Its key, an order's id as a rule.
    pub key: Option<String>,
    /// Short stable name of what was wrong.
    #[serde(default)]
    pub code: String,
    /// What was wrong.
    pub reason: String,
    /// The consumer group that could not handle it.
    #[serde(default)]
    pub group: String,
    /// When it was parked, RFC 3339 as a rule.
    pub parked_at: String,
    /// Where it first stood, if it had been sent again before.
    #[serde(default)]
    pub sent_again: Option<String>,
    /// Its size in bytes, if it was too large to be parked whole.
    #[serde(default)]
    pub payload_left_out: Option<String>,
    /// Its own headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its value as text.
    pub payload: Option<String>,
}

/// A place in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A dead letter that was sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SentView {
    /// The topic that it went to.
    pub topic: String,
}

/// An order's actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActorView {
    /// The order.
    pub order_id: Uuid,
    /// `live`, `passive`, `restarting` or `quarantined`.
    pub state: String,
    /// The order's shard.
    pub shard: u16,
    /// The shard's epoch.
    pub epoch: i64,
    /// The order's version, when live.
    pub version: Option<u32>,
    /// Commands admitted and not yet answered.
    pub mailbox: u32,
    /// Failures in the last minute.
    pub restarts: u32,
    /// The last failure.
    pub last_error: Option<ActorFailure>,
}

/// A failure of an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorFailure {
    /// What it said.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// An order that is in no quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReleasedView {
    /// The order.
    pub order_id: Uuid,
    /// Whether this released it; `false` if it was in none before.
    pub released: bool,
}

/// The cluster as the replica that is asked knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClusterView {
    /// The replica that is asked.
    pub me: NodeLife,
    /// How old this is, in ms; none before the membership store has answered for the first time.
    pub age_ms: Option<u64>,
    /// By node id.
    pub nodes: Vec<NodeView>,
    /// Links of the replica that is asked to the others, by node id.
    pub links: Vec<LinkView>,
}

/// One life of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeLife {
    /// The node id.
    pub node: String,
    /// Rises whenever the node joins.
    pub incarnation: i64,
}

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NodeView {
    /// The node id.
    pub node: String,
    /// Rises whenever the node joins.
    pub incarnation: i64,
    /// Where other replicas reach it.
    pub address: String,
    /// Whether its shards move to other replicas, because somebody asked for that.
    pub draining: bool,
    /// What is left of its lease in ms; 0 once it has ended, none where leases don't end.
    pub lease_remaining_ms: Option<u64>,
    /// How many shards are its own.
    pub shards: u64,
}

/// A link to another replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LinkView {
    /// The other's node id.
    pub peer: String,
    /// Which life of it.
    pub incarnation: i64,
    /// Where it is reached.
    pub address: String,
    /// `up`, `connecting` or `down`.
    pub standing: String,
    /// Since when.
    pub since: Timestamp,
    /// Calls that wait for an answer.
    pub calls_in_flight: u64,
    /// What went wrong last; it stays after the link is up again.
    pub last_error: Option<String>,
}

/// A replica that gives its shards away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DrainView {
    /// The node id.
    pub node: String,
    /// Whether its shards move to other replicas, which lasts until it joins again.
    pub draining: bool,
}

/// Every shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShardList {
    /// How many shards each node owns, by node id.
    pub nodes: Vec<NodeShards>,
    /// How many nobody owns.
    pub free: u64,
    /// Ascending.
    pub items: Vec<ShardView>,
}

/// How many shards a node owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeShards {
    /// The node id.
    pub node: String,
    /// How many shards.
    pub shards: u64,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShardView {
    /// Its number.
    pub shard: u16,
    /// The fencing token of the last claim.
    pub epoch: i64,
    /// Who made that claim and has not given the shard up since; it need not be alive.
    pub owner: Option<NodeLife>,
    /// Where the owner is reached; none if there is no owner or its lease has ended.
    pub address: Option<String>,
    /// The shard on the replica that is asked.
    pub here: LocalShardView,
}

/// A shard on one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LocalShardView {
    /// `owned`, `held`, `drained`, `settling` or `free`.
    pub standing: String,
    /// Orders of it that are in memory as actors.
    pub live_actors: u64,
}

/// An order that waits for inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SagaView {
    /// The order.
    pub order_id: Uuid,
    /// Its status.
    pub status: Status,
    /// `reservation`, or `release` once it is cancelled.
    pub awaits: String,
    /// When the wait began.
    pub since: Timestamp,
    /// When it is looked at next.
    pub deadline: Timestamp,
    /// How often inventory was asked again.
    pub asked_again: u32,
}

/// How much waits in an outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutboxView {
    /// `orders` or `inventory`.
    pub name: String,
    /// Messages that the bus has not acknowledged yet; beyond 10,000 an estimate.
    pub pending: u64,
    /// Age of the oldest in seconds; none if none waits.
    pub oldest_age_seconds: Option<f64>,
    /// Messages that a relay couldn't read and has set aside; counted to 10,000.
    pub set_aside: u64,
}
