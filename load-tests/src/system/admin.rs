//! What a replica's management listener says of the cluster, and the one thing that it can be asked to
//! do: to drain a replica.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Role;
use crate::http::{Connection, get, with_json};

/// The cluster as one replica knows it.
#[derive(Debug, Deserialize)]
pub struct ClusterView {
    nodes: Vec<NodeView>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeView {
    node: String,
    draining: bool,
    lease_remaining_ms: Option<u64>,
    shards: u64,
}

#[derive(Deserialize)]
struct ActorView {
    shard: u16,
}

impl ClusterView {
    /// Asks `role`.
    pub async fn read(role: &Role) -> Result<Self> {
        read(role, "/admin/v1/cluster").await
    }

    /// How many shards the newest life of `node` owns.
    pub fn shards_of(&self, node: &str) -> u64 {
        let found = self.nodes.iter().find(|view| view.node == node);
        found.map_or(0, |view| view.shards)
    }

    /// Whether so many `nodes` live, and all `shards` are spread over them, within one.
    pub fn is_balanced(&self, nodes: usize, shards: u64) -> bool {
        let live = self
            .nodes
            .iter()
            .filter(|view| view.lease_remaining_ms != Some(0));
        let (mut count, mut owned, mut least, mut most) = (0, 0, u64::MAX, 0);
        for view in live {
            if view.draining {
                return false;
            }
            count += 1;
            owned += view.shards;
            least = least.min(view.shards);
            most = most.max(view.shards);
        }
        count == nodes && owned == shards && most - least <= 1
    }
}

/// The shard of `order`.
pub async fn shard_of(role: &Role, order: Uuid) -> Result<u16> {
    let actor: ActorView = read(role, &format!("/admin/v1/actors/{order}")).await?;
    Ok(actor.shard)
}

/// Has `asked` see to it that `node` gives its shards away; returns before they have moved.
pub async fn drain(asked: &Role, node: &str) -> Result<()> {
    let path = format!("/admin/v1/cluster/nodes/{node}/drain");
    let mut connection = Connection::new(asked.management);
    let response = connection
        .call(&with_json("POST", asked.management, &path, ""))
        .await?;
    ensure!(
        response.status == 200,
        "POST {path} of {} answers {}: {}",
        asked.name,
        response.status,
        String::from_utf8_lossy(response.body)
    );
    Ok(())
}

async fn read<T: DeserializeOwned>(role: &Role, path: &str) -> Result<T> {
    let mut connection = Connection::new(role.management);
    let response = connection.call(&get(role.management, path)).await?;
    ensure!(
        response.status == 200,
        "{path} of {} answers {}: {}",
        role.name,
        response.status,
        String::from_utf8_lossy(response.body)
    );
    serde_json::from_slice(response.body)
        .with_context(|| format!("{path} of {} is not as expected", role.name))
}

#[cfg(test)]
mod tests {
    use super::ClusterView;

    fn view(nodes: &[(&str, bool, u64, u64)]) -> ClusterView {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(node, draining, lease, shards)| {
                serde_json::json!({"node": node, "incarnation": 1, "address": "", "draining": draining,
                    "leaseRemainingMs": lease, "shards": shards})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"nodes": nodes, "links": []})).expect("a view")
    }

    #[test]
    fn balanced_is_all_shards_on_all_that_live() {
        let even = [("a", false, 900, 43), ("b", false, 900, 42)];
        assert!(view(&even).is_balanced(2, 85));
        assert!(!view(&even).is_balanced(2, 86), "one is nobody's");
        assert!(!view(&even).is_balanced(3, 85), "one is missing");
        assert_eq!(view(&even).shards_of("b"), 42);
        assert_eq!(view(&even).shards_of("c"), 0);
        let with_dead = [even[0], even[1], ("c", false, 0, 0)];
        assert!(view(&with_dead).is_balanced(2, 85));
        let draining = [even[0], ("b", true, 900, 42)];
        assert!(!view(&draining).is_balanced(2, 85));
        let uneven = [("a", false, 900, 44), ("b", false, 900, 42)];
        assert!(!view(&uneven).is_balanced(2, 86));
    }
}
