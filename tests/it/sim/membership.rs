//! The authority, as one node reaches it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, Membership, MembershipError, NodeId,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::ports::Line;
use crate::doubles::membership::MemoryMembership;

pub struct SimMembership {
    pub inner: MemoryMembership,
    pub line: Arc<Line>,
}

type Answer<T> = Result<T, MembershipError>;

impl SimMembership {
    async fn ask<T, F>(&self, work: impl FnOnce(MemoryMembership) -> F + Send) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let work = work(self.inner.clone());
        self.line
            .call(work)
            .await
            .unwrap_or_else(|_| Err(MembershipError::Unavailable("simulated".into())))
    }
}

#[async_trait]
impl Membership for SimMembership {
    async fn shard_count(&self) -> Answer<ShardCount> {
        self.inner.shard_count().await
    }

    async fn join(&self, node: &NodeId, address: &str, lease: Duration) -> Answer<Incarnation> {
        let (node, address) = (node.clone(), address.to_owned());
        self.ask(|all| async move { all.join(&node, &address, lease).await })
            .await
    }

    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Answer<ClusterView> {
        let node = node.clone();
        self.ask(move |all| async move { all.renew(&node, incarnation, lease).await })
            .await
    }

    async fn view(&self) -> Answer<ClusterView> {
        self.ask(|all| async move { all.view().await }).await
    }

    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        wanted: &[(ShardId, Epoch)],
    ) -> Answer<Vec<Claimed>> {
        let (node, wanted) = (node.clone(), wanted.to_vec());
        self.ask(move |all| async move { all.claim(&node, incarnation, &wanted).await })
            .await
    }

    async fn take_over(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        from: (&NodeId, Incarnation),
        offered: &[(ShardId, Epoch)],
    ) -> Answer<Vec<Claimed>> {
        let (node, offered) = (node.clone(), offered.to_vec());
        let (old, life) = (from.0.clone(), from.1);
        self.ask(move |all| async move {
            all.take_over(&node, incarnation, (&old, life), &offered)
                .await
        })
        .await
    }

    async fn set_draining(&self, node: &NodeId, draining: bool) -> Answer<()> {
        let node = node.clone();
        self.ask(move |all| async move { all.set_draining(&node, draining).await })
            .await
    }

    async fn raise_cache_generation(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Answer<Vec<(ShardId, i64)>> {
        let (node, shards) = (node.clone(), shards.to_vec());
        self.ask(move |all| async move {
            all.raise_cache_generation(&node, incarnation, &shards)
                .await
        })
        .await
    }

    async fn leave(&self, node: &NodeId, incarnation: Incarnation) -> Answer<()> {
        let node = node.clone();
        self.ask(move |all| async move { all.leave(&node, incarnation).await })
            .await
    }

    async fn changed(&self) -> Answer<()> {
        loop {
            self.inner.changed().await?;
            self.line.pass().await;
            if !self.line.is_cut() {
                return Ok(());
            }
        }
    }
}
