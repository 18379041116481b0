//! What the cluster admin shows of a directory, and which node it drains.

use std::collections::HashSet;

use bytes::Bytes;
use parking_lot::Mutex;
use trackops_cluster::link::{LinkError, LinkStatus, Peer, Trouble};
use trackops_cluster::membership::{Claimed, ShardView};
use trackops_cluster::{Epoch, ShardCount};

use super::*;
use crate::ports::clock::SystemClock;

const SECOND: Duration = Duration::from_secs(1);

fn node(name: &str, incarnation: i64, remaining: Duration) -> NodeView {
    NodeView {
        node: NodeId(name.into()),
        incarnation: Incarnation(incarnation),
        address: format!("{name}:7080"),
        draining: false,
        remaining,
    }
}

/// `a` is alive, `b` is dead and owns a shard, and one shard has no owner.
fn view() -> ClusterView {
    let owned = |name: &str, incarnation| Some((NodeId(name.into()), Incarnation(incarnation)));
    let owners = [owned("a", 2), owned("a", 2), owned("b", 1), None];
    let shard = |(number, owner)| ShardView {
        shard: ShardId(number),
        epoch: Epoch(4),
        owner,
    };
    ClusterView {
        nodes: vec![node("a", 2, SECOND), node("b", 1, Duration::ZERO)],
        shards: (0..).zip(owners).map(shard).collect(),
        ..ClusterView::default()
    }
}

/// One link, broken for two seconds.
struct OneLink;

#[async_trait]
impl Links for OneLink {
    async fn call(&self, _: &Peer, _: Bytes, _: Instant) -> Result<Bytes, LinkError> {
        Err(LinkError::Full)
    }

    async fn relay(&self, _: &Peer, _: &Peer, _: Bytes, _: Instant) -> Result<Bytes, LinkError> {
        Err(LinkError::Full)
    }

    async fn send(&self, _: &Peer, _: Bytes) -> Result<(), LinkError> {
        Err(LinkError::Full)
    }

    fn states(&self) -> Vec<LinkState> {
        vec![LinkState {
            node: NodeId("b".into()),
            incarnation: Incarnation(1),
            address: "b:7080".into(),
            status: LinkStatus::Down,
            since: Instant::now() - 2 * SECOND,
            calls_in_flight: 0,
            last_error: Some(Trouble::Closed),
        }]
    }
}

/// Knows [`view`], and which nodes were drained.
#[derive(Default)]
struct Authority(Mutex<HashSet<String>>);

#[async_trait]
impl Membership for Authority {
    async fn shard_count(&self) -> Result<ShardCount, MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn join(&self, _: &NodeId, _: &str, _: Duration) -> Result<Incarnation, MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn renew(
        &self,
        _: &NodeId,
        _: Incarnation,
        _: Duration,
    ) -> Result<ClusterView, MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn view(&self) -> Result<ClusterView, MembershipError> {
        let mut view = view();
        for node in &mut view.nodes {
            node.draining = self.0.lock().contains(&node.node.0);
        }
        Ok(view)
    }

    async fn claim(
        &self,
        _: &NodeId,
        _: Incarnation,
        _: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn take_over(
        &self,
        _: &NodeId,
        _: Incarnation,
        _: (&NodeId, Incarnation),
        _: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn set_draining(&self, node: &NodeId, draining: bool) -> Result<(), MembershipError> {
        assert!(draining);
        let is_new = self.0.lock().insert(node.0.clone());
        assert!(is_new, "it was said before");
        Ok(())
    }

    async fn raise_cache_generation(
        &self,
        _: &NodeId,
        _: Incarnation,
        _: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn leave(&self, _: &NodeId, _: Incarnation) -> Result<(), MembershipError> {
        Err(MembershipError::Deposed)
    }

    async fn changed(&self) -> Result<(), MembershipError> {
        std::future::pending().await
    }
}

fn admin() -> (Arc<LateBoundClusterAdmin>, Arc<Directory>) {
    let count = ShardCount::new(4).expect("in range");
    let directory = Directory::new(count);
    let admin = LateBoundClusterAdmin::new();
    admin.set(ClusterParts {
        me: (NodeId("a".into()), Incarnation(2)),
        directory: Arc::clone(&directory),
        links: Arc::new(OneLink),
        membership: Arc::new(Authority::default()),
        local: Box::new(|shard| LocalShard {
            state: "owned",
            live_actors: usize::from(shard.0) * 10,
        }),
        clock: Arc::new(SystemClock),
    });
    (admin, directory)
}

#[tokio::test(start_paused = true)]
async fn a_lease_runs_down_between_two_answers_of_the_authority() {
    let (admin, directory) = admin();
    assert_eq!(admin.cluster().expect("it has joined").age, None);
    directory.update(view(), Instant::now());
    tokio::time::advance(SECOND / 4).await;
    let state = admin.cluster().expect("it has joined");
    assert_eq!(state.age, Some(SECOND / 4));
    let shown = |state: &ClusterState| -> Vec<_> {
        let nodes = state.nodes.iter();
        nodes
            .map(|node| (node.life.node.clone(), node.lease, node.shards))
            .collect()
    };
    assert_eq!(
        shown(&state),
        [
            ("a".into(), Some(SECOND * 3 / 4), 2),
            ("b".into(), Some(Duration::ZERO), 1)
        ]
    );
    tokio::time::advance(2 * SECOND).await;
    let later = admin.cluster().expect("it has joined");
    assert_eq!(shown(&later)[0].1, Some(Duration::ZERO));
}

#[tokio::test]
async fn a_lease_without_end_has_no_rest() {
    let (admin, directory) = admin();
    let mut alone = view();
    alone.nodes[0].remaining = Duration::MAX;
    directory.update(alone, Instant::now());
    assert_eq!(admin.cluster().expect("it has joined").nodes[0].lease, None);
}

#[tokio::test]
async fn a_dead_owner_is_named_and_has_no_address() {
    let (admin, directory) = admin();
    directory.update(view(), Instant::now());
    let shards = admin.shards().expect("it has joined");
    let shown = shards.iter().map(|shard| {
        let owner = shard.owner.as_ref().map(|owner| owner.node.as_str());
        (owner, shard.address.as_deref(), shard.here.live_actors)
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            (Some("a"), Some("a:7080"), 0),
            (Some("a"), Some("a:7080"), 10),
            (Some("b"), None, 20),
            (None, None, 30)
        ]
    );
}

#[tokio::test]
async fn a_link_tells_since_when_it_is_down() {
    let (admin, _) = admin();
    let before = SystemClock.now();
    let links = admin.cluster().expect("it has joined").links;
    let [link] = &links[..] else {
        panic!("{links:?}")
    };
    let since = before.since(link.since);
    assert!((since.as_millis().abs_diff(2_000)) < 500, "{since:?}");
    assert_eq!(link.status, "down");
    assert_eq!(link.last_error.as_deref(), Some("the peer closed the link"));
}

#[tokio::test]
async fn a_drain_is_said_once_and_everybody_is_asked_to_look() {
    let (admin, directory) = admin();
    assert!(admin.drain("b").await.expect("known"));
    directory.refresh_asked().await;
    assert!(!admin.drain("b").await.expect("known"));
    let unknown = admin.drain("z").await;
    assert!(matches!(unknown, Err(ClusterAdminError::UnknownNode)));
}

#[tokio::test]
async fn before_it_has_joined_there_is_nothing_to_show() {
    let admin = LateBoundClusterAdmin::new();
    assert!(matches!(admin.cluster(), Err(ClusterAdminError::Starting)));
    assert!(matches!(admin.shards(), Err(ClusterAdminError::Starting)));
    let drained = admin.drain("a").await;
    assert!(matches!(drained, Err(ClusterAdminError::Starting)));
}

#[tokio::test]
async fn whoever_owns_nothing_and_reaches_nobody_alive_is_cut_off() {
    let is_cut_off = |me: &str, incarnation, b_is_alive| {
        let mut seen = view();
        seen.nodes.push(node("c", 1, SECOND));
        if b_is_alive {
            seen.nodes[1].remaining = SECOND;
        }
        let directory = Directory::new(ShardCount::new(4).expect("sound"));
        directory.update(seen, Instant::now());
        let parts = ClusterParts {
            me: (NodeId(me.into()), Incarnation(incarnation)),
            directory,
            links: Arc::new(OneLink),
            membership: Arc::new(Authority::default()),
            local: Box::new(|_| LocalShard {
                state: "free",
                live_actors: 0,
            }),
            clock: Arc::new(SystemClock),
        };
        let admin = LateBoundClusterAdmin::new();
        assert!(!admin.is_cut_off(), "nothing is known yet");
        admin.set(parts);
        admin.is_cut_off()
    };
    assert!(is_cut_off("c", 1, true), "its only link is down");
    assert!(!is_cut_off("c", 1, false), "that link leads to a dead one");
    assert!(!is_cut_off("a", 2, true), "it has shards of its own");
}
