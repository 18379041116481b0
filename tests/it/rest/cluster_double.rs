//! A cluster of two replicas with three shards, one of them nobody's.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::api::admin::cluster_admin::{
    ClusterAdmin, ClusterAdminError, ClusterState, LinkReport, LocalShard, NodeLife, NodeState,
    ShardState,
};
use trackops_domain::time::Timestamp;

/// Replicas `order-a`, which is asked, and `order-b`.
#[derive(Default)]
pub struct Cluster {
    /// It has not joined yet.
    pub starting: Mutex<bool>,
    /// The membership store doesn't answer.
    pub away: Mutex<bool>,
    /// Nodes that were drained.
    pub drained: Mutex<Vec<String>>,
}

impl Cluster {
    fn begin(&self) -> Result<(), ClusterAdminError> {
        if *self.starting.lock() {
            return Err(ClusterAdminError::Starting);
        }
        Ok(())
    }
}

fn life(node: &str, incarnation: i64) -> NodeLife {
    NodeLife {
        node: node.into(),
        incarnation,
    }
}

#[async_trait]
impl ClusterAdmin for Cluster {
    fn cluster(&self) -> Result<ClusterState, ClusterAdminError> {
        self.begin()?;
        let node = |name: &str, incarnation, draining| NodeState {
            life: life(name, incarnation),
            address: format!("{name}:7080"),
            draining,
            lease: Some(Duration::from_millis(1_100)),
            shards: 1,
        };
        Ok(ClusterState {
            me: life("order-a", 3),
            age: Some(Duration::from_millis(40)),
            nodes: vec![node("order-a", 3, false), node("order-b", 1, true)],
            links: vec![LinkReport {
                peer: life("order-b", 1),
                address: "order-b:7080".into(),
                status: "up",
                since: Timestamp(1_700_000_000_000),
                calls_in_flight: 2,
                last_error: Some("the peer closed the link".into()),
            }],
        })
    }

    fn shards(&self) -> Result<Vec<ShardState>, ClusterAdminError> {
        self.begin()?;
        let shard = |shard, owner: Option<NodeLife>, state, live_actors| ShardState {
            shard,
            epoch: i64::from(shard) + 7,
            address: owner.as_ref().map(|owner| format!("{}:7080", owner.node)),
            owner,
            here: LocalShard { state, live_actors },
        };
        Ok(vec![
            shard(0, Some(life("order-a", 3)), "owned", 5),
            shard(1, Some(life("order-b", 1)), "free", 0),
            shard(2, None, "free", 0),
        ])
    }

    async fn drain(&self, node: &str) -> Result<bool, ClusterAdminError> {
        self.begin()?;
        if *self.away.lock() {
            return Err(ClusterAdminError::Unavailable("no connection".into()));
        }
        if !["order-a", "order-b"].contains(&node) {
            return Err(ClusterAdminError::UnknownNode);
        }
        self.drained.lock().push(node.into());
        Ok(true)
    }
}
