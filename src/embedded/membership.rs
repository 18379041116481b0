//! Membership of a single node. Epochs and generations rise as in a cluster, because appends are fenced here
//! too. Leases never end, also if a length is asked for: the directory is locked, so no other node can take
//! over while a laptop sleeps, and it goes on when it wakes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, Membership, MembershipError, NodeId, NodeView, ShardView,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::db::Db;
use super::error::{WriteError, corrupt};
use super::text::json;
use crate::ports::clock::{Clock as _, SystemClock};

const ALIVE: &str = "
    SELECT EXISTS (SELECT 1 FROM nodes WHERE node = ?1 AND incarnation = ?2 AND alive)";

/// `?3` is an array of pairs: a shard and the epoch that it was seen under.
const CLAIM: &str = "
    UPDATE shards
    SET epoch = epoch + 1, cache_generation = cache_generation + 1, node = ?1, incarnation = ?2
    FROM json_each(?3) AS seen
    WHERE shard = json_extract(seen.value, '$[0]') AND epoch = json_extract(seen.value, '$[1]')
      AND (node IS NULL OR (node = ?1 AND incarnation = ?2)
           OR NOT EXISTS (SELECT 1 FROM nodes n
                          WHERE n.node = shards.node AND n.incarnation = shards.incarnation
                            AND n.alive))
    RETURNING shard, epoch, cache_generation";

/// As [`CLAIM`], for shards of the node `?4` in its life `?5`; the cache generation stays.
const TAKE_OVER: &str = "
    UPDATE shards SET epoch = epoch + 1, node = ?1, incarnation = ?2
    FROM json_each(?3) AS seen
    WHERE shard = json_extract(seen.value, '$[0]') AND epoch = json_extract(seen.value, '$[1]')
      AND node = ?4 AND incarnation = ?5
    RETURNING shard, epoch, cache_generation";

const RAISE: &str = "
    UPDATE shards SET cache_generation = cache_generation + 1
    WHERE shard IN (SELECT value FROM json_each(?3)) AND node = ?1 AND incarnation = ?2
    RETURNING shard, cache_generation";

/// The authority on the file.
#[derive(Debug)]
pub(super) struct SingleNode {
    db: Arc<Db>,
    /// Kept in memory only: a drain ends with the node's life, and here that is the process.
    draining: Mutex<BTreeSet<NodeId>>,
}

impl SingleNode {
    /// Makes the shards when the file is new, and ends the node lives of an earlier process. That process is
    /// gone, because it held the lock of the directory. Epochs stay and rise with the next claim.
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
        Ok(Self {
            db,
            draining: Mutex::default(),
        })
    }

    /// Runs `work` as a write. Its refusals are values and have written nothing.
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
        self.draining.lock().remove(node);
        let (node, address) = (node.0.clone(), address.to_owned());
        self.write(move |conn| async move { join(conn, node, address).await }.boxed())
            .await
    }

    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        _lease: Duration,
    ) -> Result<ClusterView, MembershipError> {
        let alive = sqlx::query_scalar(ALIVE)
            .bind(&node.0)
            .bind(incarnation.0)
            .fetch_one(&self.db.reads)
            .await
            .map_err(|error| MembershipError::Unavailable(error.into()))?;
        if alive {
            self.view().await
        } else {
            Err(MembershipError::Deposed)
        }
    }

    async fn view(&self) -> Result<ClusterView, MembershipError> {
        let view = look(&self.db, &self.draining).await;
        view.map_err(|error| MembershipError::Unavailable(error.into()))
    }

    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        wanted: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let (node, wanted) = (node.0.clone(), pairs(wanted));
        self.write(move |conn| {
            async move {
                if !is_alive(conn, &node, incarnation).await? {
                    return Ok(Err(MembershipError::Deposed));
                }
                let claim = sqlx::query(CLAIM).bind(node).bind(incarnation.0);
                claimed(&claim.bind(wanted).fetch_all(conn).await?).map(Ok)
            }
            .boxed()
        })
        .await
    }

    async fn take_over(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        from: (&NodeId, Incarnation),
        offered: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let (node, offered) = (node.0.clone(), pairs(offered));
        let (giver, givers) = (from.0.0.clone(), from.1.0);
        self.write(move |conn| {
            async move {
                if !is_alive(conn, &node, incarnation).await? {
                    return Ok(Err(MembershipError::Deposed));
                }
                let take = sqlx::query(TAKE_OVER).bind(node).bind(incarnation.0);
                let take = take.bind(offered).bind(giver).bind(givers);
                claimed(&take.fetch_all(conn).await?).map(Ok)
            }
            .boxed()
        })
        .await
    }

    async fn set_draining(&self, node: &NodeId, draining: bool) -> Result<(), MembershipError> {
        let mut nodes = self.draining.lock();
        if draining {
            nodes.insert(node.clone());
        } else {
            nodes.remove(node);
        }
        Ok(())
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

    /// Never returns: no other process changes anything.
    async fn changed(&self) -> Result<(), MembershipError> {
        std::future::pending().await
    }
}

/// Starts a life of `node`; its previous life ends.
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

async fn is_alive(
    conn: &mut SqliteConnection,
    node: &str,
    incarnation: Incarnation,
) -> sqlx::Result<bool> {
    let alive = sqlx::query_scalar(ALIVE).bind(node).bind(incarnation.0);
    alive.fetch_one(conn).await
}

/// Nodes and shards at one moment.
async fn look(db: &Db, draining: &Mutex<BTreeSet<NodeId>>) -> sqlx::Result<ClusterView> {
    let mut moment = db.reads.begin().await?;
    let nodes: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT node, incarnation, address FROM nodes WHERE alive ORDER BY node")
            .fetch_all(&mut *moment)
            .await?;
    let shards: Vec<(u16, i64, Option<String>, Option<i64>)> =
        sqlx::query_as("SELECT shard, epoch, node, incarnation FROM shards ORDER BY shard")
            .fetch_all(&mut *moment)
            .await?;
    moment.commit().await?;
    let draining = draining.lock();
    let nodes = nodes.into_iter().map(|(node, incarnation, address)| {
        let node = NodeId(node);
        NodeView {
            draining: draining.contains(&node),
            node,
            incarnation: Incarnation(incarnation),
            address,
            remaining: Duration::MAX,
        }
    });
    let shards = shards
        .into_iter()
        .map(|(shard, epoch, node, incarnation)| ShardView {
            shard: ShardId(shard),
            epoch: Epoch(epoch),
            owner: node.map(NodeId).zip(incarnation.map(Incarnation)),
        });
    Ok(ClusterView {
        nodes: nodes.collect(),
        shards: shards.collect(),
        now_ms: SystemClock.now().0,
    })
}

fn claimed(rows: &[SqliteRow]) -> sqlx::Result<Vec<Claimed>> {
    let claimed = rows.iter().map(|row| {
        Ok(Claimed {
            shard: ShardId(row.try_get(0)?),
            epoch: Epoch(row.try_get(1)?),
            cache_generation: row.try_get(2)?,
        })
    });
    claimed.collect()
}

fn pairs(seen: &[(ShardId, Epoch)]) -> String {
    let pairs = seen.iter().map(|(shard, epoch)| (shard.0, epoch.0));
    json(&pairs.collect::<Vec<_>>())
}

fn numbers(shards: &[ShardId]) -> String {
    json(&shards.iter().map(|shard| shard.0).collect::<Vec<_>>())
}
