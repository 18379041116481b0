//! Membership of one node: epochs and generations rise as where many share an authority, because
//! appends are fenced here too. Leases are unlimited, whatever length is asked for: the directory is
//! locked, so there is nobody to take over from a node that sleeps, and a laptop that wakes up goes on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use trackops_cluster::membership::{Claimed, Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::db::Db;
use super::error::{WriteError, corrupt};
use super::text::json;

const ALIVE: &str = "
    SELECT EXISTS (SELECT 1 FROM nodes WHERE node = ?1 AND incarnation = ?2 AND alive)";

const CLAIM: &str = "
    UPDATE shards
    SET epoch = epoch + 1, cache_generation = cache_generation + 1, node = ?1, incarnation = ?2
    WHERE shard IN (SELECT value FROM json_each(?3))
      AND (node IS NULL OR (node = ?1 AND incarnation = ?2)
           OR NOT EXISTS (SELECT 1 FROM nodes n
                          WHERE n.node = shards.node AND n.incarnation = shards.incarnation
                            AND n.alive))
    RETURNING shard, epoch, cache_generation";

const RAISE: &str = "
    UPDATE shards SET cache_generation = cache_generation + 1
    WHERE shard IN (SELECT value FROM json_each(?3)) AND node = ?1 AND incarnation = ?2
    RETURNING shard, cache_generation";

/// The authority on the file.
#[derive(Debug)]
pub(super) struct SingleNode {
    db: Arc<Db>,
}

impl SingleNode {
    /// Makes the shards when the file is new, and ends what an earlier process left: it held the
    /// lock of the directory, so it is gone. Epochs stay and rise with the next claim.
    pub(super) async fn start(db: Arc<Db>, count: ShardCount) -> Result<Self, WriteError> {
        let made = db.writer.write(move |conn| {
            async move {
                sqlx::query(
                    "WITH RECURSIVE n(shard) AS
                         (SELECT 0 UNION ALL SELECT shard + 1 FROM n WHERE shard + 1 < ?1)
                     INSERT INTO shards (shard)
                     SELECT shard FROM n WHERE NOT EXISTS (SELECT 1 FROM shards)",
                )
                .bind(count.get())
                .execute(&mut *conn)
                .await?;
                sqlx::raw_sql(
                    "UPDATE nodes SET alive = 0;
                     UPDATE shards SET node = NULL, incarnation = NULL;",
                )
                .execute(conn)
                .await
                .map(drop)
            }
            .boxed()
        });
        made.await?;
        Ok(Self { db })
    }

    /// Runs `work`, whose refusals are values: they have written nothing.
    async fn write<T, W>(&self, work: W) -> Result<T, MembershipError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(
                &'c mut SqliteConnection,
            ) -> BoxFuture<'c, sqlx::Result<Result<T, MembershipError>>>
            + Send
            + 'static,
    {
        let written = self.db.writer.write(work).await;
        written.map_err(|error| MembershipError::Unavailable(error.into()))?
    }
}

#[async_trait]
impl Membership for SingleNode {
    async fn shard_count(&self) -> Result<ShardCount, MembershipError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM shards")
            .fetch_one(&self.db.reads)
            .await
            .map_err(|error| MembershipError::Unavailable(error.into()))?;
        u16::try_from(count)
            .ok()
            .and_then(ShardCount::new)
            .ok_or_else(|| MembershipError::Unavailable(corrupt("number of shards").into()))
    }

    async fn join(
        &self,
        node: &NodeId,
        address: &str,
        _lease: Duration,
    ) -> Result<Incarnation, MembershipError> {
        let (node, address) = (node.0.clone(), address.to_owned());
        self.write(move |conn| async move { join(conn, node, address).await }.boxed())
            .await
    }

    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        _lease: Duration,
    ) -> Result<(), MembershipError> {
        let alive = sqlx::query_scalar(ALIVE)
            .bind(&node.0)
            .bind(incarnation.0)
            .fetch_one(&self.db.reads)
            .await
            .map_err(|error| MembershipError::Unavailable(error.into()))?;
        if alive {
            Ok(())
        } else {
            Err(MembershipError::Deposed)
        }
    }

    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let (node, shards) = (node.0.clone(), numbers(shards));
        self.write(move |conn| {
            async move { claim(conn, &node, incarnation, &shards).await }.boxed()
        })
        .await
    }

    async fn raise_cache_generation(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError> {
        let (node, shards) = (node.0.clone(), numbers(shards));
        self.write(move |conn| {
            async move {
                let raised: Vec<(u16, i64)> = sqlx::query_as(RAISE)
                    .bind(node)
                    .bind(incarnation.0)
                    .bind(shards)
                    .fetch_all(conn)
                    .await?;
                Ok(Ok(raised
                    .into_iter()
                    .map(|(shard, generation)| (ShardId(shard), generation))
                    .collect()))
            }
            .boxed()
        })
        .await
    }

    async fn leave(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), MembershipError> {
        let node = node.0.clone();
        self.write(move |conn| {
            async move {
                for statement in [
                    "UPDATE nodes SET alive = 0 WHERE node = ?1 AND incarnation = ?2",
                    "UPDATE shards SET node = NULL, incarnation = NULL
                     WHERE node = ?1 AND incarnation = ?2",
                ] {
                    sqlx::query(statement)
                        .bind(&node)
                        .bind(incarnation.0)
                        .execute(&mut *conn)
                        .await?;
                }
                Ok(Ok(()))
            }
            .boxed()
        })
        .await
    }
}

/// Starts a life of `node`; one that it had before is over.
async fn join(
    conn: &mut SqliteConnection,
    node: String,
    address: String,
) -> sqlx::Result<Result<Incarnation, MembershipError>> {
    let incarnation: i64 = sqlx::query_scalar(
        "INSERT INTO nodes (node, incarnation, address, alive) VALUES (?1, 1, ?2, 1)
         ON CONFLICT (node) DO UPDATE SET
             incarnation = incarnation + 1, address = excluded.address, alive = 1
         RETURNING incarnation",
    )
    .bind(node)
    .bind(address)
    .fetch_one(conn)
    .await?;
    Ok(Ok(Incarnation(incarnation)))
}

async fn claim(
    conn: &mut SqliteConnection,
    node: &str,
    incarnation: Incarnation,
    shards: &str,
) -> sqlx::Result<Result<Vec<Claimed>, MembershipError>> {
    let alive: bool = sqlx::query_scalar(ALIVE)
        .bind(node)
        .bind(incarnation.0)
        .fetch_one(&mut *conn)
        .await?;
    if !alive {
        return Ok(Err(MembershipError::Deposed));
    }
    let rows = sqlx::query(CLAIM)
        .bind(node)
        .bind(incarnation.0)
        .bind(shards)
        .fetch_all(conn)
        .await?;
    let claimed = rows.iter().map(|row| {
        Ok(Claimed {
            shard: ShardId(row.try_get(0)?),
            epoch: Epoch(row.try_get(1)?),
            cache_generation: row.try_get(2)?,
        })
    });
    claimed.collect::<sqlx::Result<_>>().map(Ok)
}

fn numbers(shards: &[ShardId]) -> String {
    json(&shards.iter().map(|shard| shard.0).collect::<Vec<_>>())
}
