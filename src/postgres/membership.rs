//! Nodes, leases and shards in the orders' database; every time is the database's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use trackops_cluster::membership::{Claimed, Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::connections::{Connections, Limits};
use super::error::Failure;
use super::{OpenError, Settings, connect_options};

/// A lease that has ended may be taken by the next incarnation; the `WHERE` looks at the row as the
/// last holder left it.
const JOIN: &str = "
    INSERT INTO nodes (node, incarnation, address, lease_until)
    VALUES ($1, 1, $2, clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (node) DO UPDATE SET
        incarnation = nodes.incarnation + 1, address = excluded.address,
        lease_until = excluded.lease_until, draining = false
    WHERE nodes.lease_until <= clock_timestamp()
    RETURNING incarnation";

const REMAINING: &str = "
    SELECT greatest(0, extract(epoch FROM lease_until - clock_timestamp()))::float8
    FROM nodes WHERE node = $1 AND lease_until > '-infinity'";

const RENEW: &str = "
    UPDATE nodes SET lease_until = clock_timestamp() + make_interval(secs => $3)
    WHERE node = $1 AND incarnation = $2 AND lease_until > clock_timestamp()";

/// Rows are locked in order of shard, as claims do.
const RAISE: &str = "
    WITH owned AS (
        SELECT shard FROM shards
        WHERE node = $1 AND incarnation = $2 AND shard = ANY ($3::smallint[])
        ORDER BY shard FOR UPDATE
    )
    UPDATE shards s SET cache_generation = s.cache_generation + 1
    FROM owned WHERE owned.shard = s.shard
    RETURNING s.shard, s.cache_generation";

/// The authority on PostgreSQL, over a single connection that nothing else uses.
#[derive(Clone, Debug)]
pub struct PgMembership {
    connection: Arc<Connections>,
}

impl PgMembership {
    /// The authority in the orders' database at `url`. Doesn't connect yet; to be called within the
    /// runtime that uses it.
    pub fn connect(url: &str) -> Result<Self, OpenError> {
        Ok(Self::new(connect_options(url)?, Settings::default()))
    }

    pub(super) fn new(options: PgConnectOptions, settings: Settings) -> Self {
        let limits = Limits {
            connections: 1,
            acquire: settings.acquire,
            // A claim waits for the appends under way, which may take as long as they may.
            run: settings.write,
        };
        Self {
            connection: Arc::new(Connections::new(options, limits)),
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
                let joined = sqlx::query_scalar(JOIN)
                    .bind(&node.0)
                    .bind(address)
                    .bind(lease.as_secs_f64())
                    .fetch_optional(&mut *connection)
                    .await?;
                if joined.is_some() {
                    return Ok((joined, None));
                }
                let remaining = sqlx::query_scalar(REMAINING)
                    .bind(&node.0)
                    .fetch_optional(connection)
                    .await?;
                Ok((None, remaining))
            })
            .await?;
        if let Some(incarnation) = incarnation {
            return Ok(Incarnation(incarnation));
        }
        let remaining = Duration::try_from_secs_f64(remaining.unwrap_or(0.0)).unwrap_or_default();
        Err(MembershipError::Taken {
            node: node.0.clone(),
            remaining,
        })
    }

    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Result<(), MembershipError> {
        let connection = self.connection.take().await?;
        let renewed = connection
            .run(async |connection| {
                sqlx::query(RENEW)
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .bind(lease.as_secs_f64())
                    .execute(connection)
                    .await
            })
            .await?;
        if renewed.rows_affected() == 0 {
            return Err(MembershipError::Deposed);
        }
        Ok(())
    }

    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let connection = self.connection.take().await?;
        let claimed: Vec<(i16, i64, i64)> = connection
            .run(async |connection| {
                sqlx::query_as(
                    "SELECT shard, epoch, cache_generation FROM claim_shards($1, $2, $3)",
                )
                .bind(&node.0)
                .bind(incarnation.0)
                .bind(numbers(shards))
                .fetch_all(connection)
                .await
            })
            .await?;
        let claimed = claimed
            .into_iter()
            .filter_map(|(shard, epoch, cache_generation)| {
                Some(Claimed {
                    shard: ShardId(shard.try_into().ok()?),
                    epoch: Epoch(epoch),
                    cache_generation,
                })
            });
        Ok(claimed.collect())
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
                sqlx::query("SELECT leave_cluster($1, $2)")
                    .bind(&node.0)
                    .bind(incarnation.0)
                    .execute(connection)
                    .await
            })
            .await?;
        Ok(())
    }
}

/// Numbers beyond the type can't be shards.
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
