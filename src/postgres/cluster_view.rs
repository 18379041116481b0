//! Nodes and shards as `cluster_view` gives them: one row of parallel arrays.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use trackops_cluster::membership::{ClusterView, Incarnation, NodeId, NodeView, ShardView};
use trackops_cluster::{Epoch, ShardId};

/// Reads all nodes and shards.
pub(super) const VIEW: &str = "
    SELECT nodes, incarnations, addresses, draining, remaining_secs,
           shards, epochs, owners, owner_incarnations, now_ms
    FROM cluster_view()";

/// Renews the lease and reads the view. If the lease has ended, `renewed` is false and the rest null.
pub(super) const RENEW: &str = "
    SELECT renewed, nodes, incarnations, addresses, draining, remaining_secs,
           shards, epochs, owners, owner_incarnations, now_ms
    FROM renew_lease($1, $2, $3)";

/// The view in a row of [`VIEW`] or [`RENEW`].
pub(super) fn read(row: &PgRow) -> Result<ClusterView, sqlx::Error> {
    Ok(ClusterView {
        nodes: nodes(row)?,
        shards: shards(row)?,
        now_ms: row.try_get("now_ms")?,
    })
}

fn nodes(row: &PgRow) -> Result<Vec<NodeView>, sqlx::Error> {
    let names: Vec<String> = row.try_get("nodes")?;
    let incarnations: Vec<i64> = row.try_get("incarnations")?;
    let addresses: Vec<String> = row.try_get("addresses")?;
    let draining: Vec<bool> = row.try_get("draining")?;
    let remaining: Vec<f64> = row.try_get("remaining_secs")?;
    let places = names.into_iter().zip(incarnations).zip(addresses);
    let states = draining.into_iter().zip(remaining);
    let nodes =
        places
            .zip(states)
            .map(
                |(((node, incarnation), address), (draining, remaining))| NodeView {
                    node: NodeId(node),
                    incarnation: Incarnation(incarnation),
                    address,
                    draining,
                    remaining: seconds(remaining),
                },
            );
    Ok(nodes.collect())
}

fn shards(row: &PgRow) -> Result<Vec<ShardView>, sqlx::Error> {
    let numbers: Vec<i16> = row.try_get("shards")?;
    let epochs: Vec<i64> = row.try_get("epochs")?;
    let owners: Vec<Option<String>> = row.try_get("owners")?;
    let incarnations: Vec<Option<i64>> = row.try_get("owner_incarnations")?;
    let claims = numbers.into_iter().zip(epochs);
    let owners = owners.into_iter().zip(incarnations);
    let shards = claims
        .zip(owners)
        .filter_map(|((shard, epoch), (node, incarnation))| {
            Some(ShardView {
                shard: ShardId(shard.try_into().ok()?),
                epoch: Epoch(epoch),
                owner: node.map(NodeId).zip(incarnation.map(Incarnation)),
            })
        });
    Ok(shards.collect())
}

/// A duration from the database's seconds; zero for a number that is no duration.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
