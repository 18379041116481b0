//! What a replica's management listener says of the cluster, and the one thing that it can be asked to
//! do: to drain a replica.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use trackops_client::{Admin, Client, RetryPolicy};
use uuid::Uuid;

use super::Role;

/// The cluster as one replica knows it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ClusterView(trackops_client::ClusterView);

impl ClusterView {
    /// Asks `role`.
    pub async fn read(role: &Role) -> Result<Self> {
        let answer = admin(role)?.cluster().await;
        let answer = answer.with_context(|| format!("ask {} for the cluster", role.name))?;
        Ok(Self(answer.value))
    }

    /// How many shards the newest life of `node` owns.
    pub fn shards_of(&self, node: &str) -> u64 {
        let found = self.0.nodes.iter().find(|view| view.node == node);
        found.map_or(0, |view| view.shards)
    }

    /// Whether so many `nodes` live, and all `shards` are spread over them, within one.
    pub fn is_balanced(&self, nodes: usize, shards: u64) -> bool {
        let live = self
            .0
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
    let answer = admin(role)?.actor(order).await;
    let answer = answer.with_context(|| format!("ask {} for an actor", role.name))?;
    Ok(answer.value.shard)
}

/// Has `asked` see to it that `node` gives its shards away; returns before they have moved.
pub async fn drain(asked: &Role, node: &str) -> Result<()> {
    let drained = admin(asked)?.drain(node).await;
    drained.with_context(|| format!("ask {} to drain {node}", asked.name))?;
    Ok(())
}

/// Each request is sent once: what a benchmark times begins with it.
fn admin(role: &Role) -> Result<Admin> {
    let client = Client::builder(&format!("http://{}", role.management));
    Ok(client.retry(RetryPolicy::none()).build()?.into())
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
        let view = serde_json::json!({"me": {"node": "a", "incarnation": 1}, "ageMs": 0,
            "nodes": nodes, "links": []});
        serde_json::from_value(view).expect("a view")
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
