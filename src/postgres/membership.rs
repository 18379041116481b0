//! Nodes, leases and shards in the orders' database. All times are by the database's clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use tokio::sync::OnceCell;
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, Membership, MembershipError, NodeId,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::cluster_view::{self, RENEW, VIEW};
use super::connections::{Connections, Limits, ServerGeneration};
use super::error::Failure;
use super::listener::{CLUSTER, NotificationListener};
use super::settings::Settings;
use super::url::{self, DatabaseOptions, OpenError};

const CLAIM: &str = "
    SELECT shard, epoch, cache_generation FROM claim_shards_seen($1, $2, $3, $4)";

const TAKE_OVER: &str = "
    SELECT shard, epoch, cache_generation FROM take_over_shards($1, $2, $3, $4, $5, $6)";

/// Locks rows in order of shard, as claims do.
const RAISE: &str = "
    WITH owned AS (
        SELECT shard FROM shards
        WHERE node = $1 AND incarnation = $2 AND shard = ANY ($3::smallint[])
        ORDER BY shard FOR UPDATE
    )
    UPDATE shards s SET cache_generation = s.cache_generation + 1
    FROM owned WHERE owned.shard = s.shard
    RETURNING s.shard, s.cache_generation";

/// The authority on PostgreSQL, over a single connection that nothing else uses. A second connection, which
/// listens, is opened when a caller first waits for a change.
#[derive(Clone, Debug)]
pub struct PgMembership {
    connection: Arc<Connections>,
    options: DatabaseOptions,
    listener: Arc<OnceCell<NotificationListener>>,
}

impl PgMembership {
    /// The authority in the orders' database at `url`. Doesn't connect yet. Must be called within the runtime
    /// that uses it.
    pub fn connect(url: &str) -> Result<Self, OpenError> {
        Ok(Self::new(
            url::options(url)?,
            Settings::default(),
            ServerGeneration::default(),
        ))
    }

    pub(super) fn new(
        options: DatabaseOptions,
        settings: Settings,
        turns: ServerGeneration,
    ) -> Self {
        let limits = Limits {
            connections: 1,
            acquire: settings.acquire,
            // A claim waits for the appends in flight, so it gets their time limit.
            run: settings.write,
        };
        Self {
            connection: Arc::new(Connections::new(options.clone(), limits, turns)),
            options,
            listener: Arc::default(),
        }
    }
}

#[async_trait]
impl Membership for PgMembership {
    async fn shard_count(&self) -> Result<ShardCount, MembershipError> {
        let connection = self.connection.take().await?;
        let count: i64 = connection
            .run(async |connection| {
                sqlx::query_scalar("SELECT count(*) FROM shards")
                    .fetch_one(connection)
                    .await
            })
            .await?;
        u16::try_from(count)
            .ok()
            .and_then(ShardCount::new)
            .ok_or_else(|| {
                MembershipError::Unavailable(format!("impossible number of shards: {count}").into())
            })
    }

    async fn join(
        &self,
        node: &NodeId,
        address: &str,
        lease: Duration,
    ) -> Result<Incarnation, MembershipError> {
        let connection = self.connection.take().await?;
        let (incarnation, remaining): (Option<i64>, Option<f64>) = connection
            .run(async |connection| {
                sqlx::query_as("SELECT incarnation, remaining_secs FROM join_cluster($1, $2, $3)")
                    .bind(&node.0)
                    .bind(address)
                    .bind(lease.as_secs_f64())
                    .fetch_one(connection)
                    .await
            })
            .await?;
        if let Some(incarnation) = incarnation {
            return Ok(Incarnation(incarnation));
        }
        Err(MembershipError::Taken {
            node: node.0.clone(),
            remaining: cluster_view::seconds(remaining.unwrap_or(0.0)),
        })
    }

    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Result<ClusterView, MembershipError> {
        let connection = self.connection.take().await?;
        let view = connection
            .run(async |connection| {
                let row = sqlx::query(RENEW)
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .bind(lease.as_secs_f64())
                    .fetch_one(connection)
                    .await?;
                let renewed: bool = row.try_get("renewed")?;
                renewed.then(|| cluster_view::read(&row)).transpose()
            })
            .await?;
        view.ok_or(MembershipError::Deposed)
    }

    async fn view(&self) -> Result<ClusterView, MembershipError> {
        let connection = self.connection.take().await?;
        let view = connection
            .run(async |connection| {
                let row = sqlx::query(VIEW).fetch_one(connection).await?;
                cluster_view::read(&row)
            })
            .await?;
        Ok(view)
    }

    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        wanted: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let connection = self.connection.take().await?;
        let (shards, epochs) = columns(wanted);
        let claimed: Vec<(i16, i64, i64)> = connection
            .run(async |connection| {
                sqlx::query_as(CLAIM)
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .bind(shards)
                    .bind(epochs)
                    .fetch_all(connection)
                    .await
            })
            .await?;
        Ok(claimed.into_iter().filter_map(claim).collect())
    }

    async fn take_over(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        from: (&NodeId, Incarnation),
        offered: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let connection = self.connection.take().await?;
        let (shards, epochs) = columns(offered);
        let taken: Vec<(i16, i64, i64)> = connection
            .run(async |connection| {
                sqlx::query_as(TAKE_OVER)
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .bind(&from.0.0)
                    .bind(from.1.0)
                    .bind(shards)
                    .bind(epochs)
                    .fetch_all(connection)
                    .await
            })
            .await?;
        Ok(taken.into_iter().filter_map(claim).collect())
    }

    async fn set_draining(&self, node: &NodeId, draining: bool) -> Result<(), MembershipError> {
        let connection = self.connection.take().await?;
        connection
            .run(async |connection| {
                sqlx::query("SELECT set_node_draining($1, $2)")
                    .bind(&node.0)
                    .bind(draining)
                    .execute(connection)
                    .await
            })
            .await?;
        Ok(())
    }

    async fn raise_cache_generation(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError> {
        let connection = self.connection.take().await?;
        let raised: Vec<(i16, i64)> = connection
            .run(async |connection| {
                sqlx::query_as(RAISE)
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .bind(numbers(shards))
                    .fetch_all(connection)
                    .await
            })
            .await?;
        let raised = raised
            .into_iter()
            .filter_map(|(shard, generation)| Some((ShardId(shard.try_into().ok()?), generation)));
        Ok(raised.collect())
    }

    async fn leave(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), MembershipError> {
        let connection = self.connection.take().await?;
        connection
            .run(async |connection| {
                sqlx::query("SELECT give_up_lease($1, $2)")
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .execute(connection)
                    .await
            })
            .await?;
        Ok(())
    }

    async fn changed(&self) -> Result<(), MembershipError> {
        self.listener
            .get_or_init(async || NotificationListener::start(self.options.clone(), CLUSTER))
            .await
            .signalled()
            .await;
        Ok(())
    }
}

/// Parallel arrays of shards and of the epochs under which they were seen.
fn columns(seen: &[(ShardId, Epoch)]) -> (Vec<i16>, Vec<i64>) {
    seen.iter()
        .filter_map(|(shard, epoch)| Some((i16::try_from(shard.0).ok()?, epoch.0)))
        .unzip()
}

fn claim((shard, epoch, cache_generation): (i16, i64, i64)) -> Option<Claimed> {
    Some(Claimed {
        shard: ShardId(shard.try_into().ok()?),
        epoch: Epoch(epoch),
        cache_generation,
    })
}

/// A number beyond the type can't be a shard.
fn numbers(shards: &[ShardId]) -> Vec<i16> {
    shards.iter().filter_map(|s| s.0.try_into().ok()).collect()
}

impl From<Failure> for MembershipError {
    fn from(failure: Failure) -> Self {
        if failure.has_code("TO001") {
            return Self::Deposed;
        }
        Self::Unavailable(failure.into())
    }
}
