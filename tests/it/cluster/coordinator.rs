//! The coordinator over the in-memory authority and network, with hosts that hold no entities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};
use trackops_cluster::coordinator::{Coordinator, CoordinatorParts, CoordinatorSettings, Shards};
use trackops_cluster::directory::Directory;
use trackops_cluster::lease::{Lease, LeaseTiming};
use trackops_cluster::lease_keeper::{Kept, LeaseState, MembershipConnections, keep};
use trackops_cluster::link::memory::{MemoryNetwork, MemorySettings, NetworkFaults};
use trackops_cluster::link::{Peer, Service};
use trackops_cluster::membership::{Claimed, Incarnation, Membership as _, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::{Call, Fault, MemoryMembership};

const COUNT: u16 = 16;

/// Who works on what, over all hosts.
#[derive(Default)]
struct Open(Mutex<BTreeMap<ShardId, String>>);

struct Host {
    name: String,
    open: Arc<Open>,
    shards: Mutex<BTreeMap<ShardId, Epoch>>,
    handed_over: Mutex<usize>,
    /// A defect on purpose: what it is given is gone at once.
    is_leaky: bool,
    /// Where it panics, once for each.
    panics: Mutex<Vec<Panic>>,
}

/// Where a host panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panic {
    /// It has begun to drain a shard.
    Draining,
    /// It has drained one.
    Drained,
    /// It is to take one up again.
    Resuming,
    /// It is to forget one.
    Releasing,
}

impl Host {
    fn may_panic(&self, place: Panic) {
        let mut panics = self.panics.lock();
        if let Some(at) = panics.iter().position(|panic| *panic == place) {
            panics.remove(at);
            drop(panics);
            panic!("on purpose, {place:?}");
        }
    }

    fn close(&self, shard: ShardId) {
        let mut open = self.open.0.lock();
        if open.get(&shard) == Some(&self.name) {
            open.remove(&shard);
        }
    }
}

#[async_trait]
impl Shards for Host {
    fn owned(&self) -> Vec<(ShardId, Epoch)> {
        let shards = self.shards.lock();
        shards
            .iter()
            .map(|(shard, epoch)| (*shard, *epoch))
            .collect()
    }

    async fn adopt(&self, claimed: &[Claimed], handed_over: bool) {
        *self.handed_over.lock() += usize::from(handed_over);
        for claim in claimed.iter().filter(|_| !self.is_leaky) {
            let before = self.open.0.lock().insert(claim.shard, self.name.clone());
            let other = before.filter(|before| *before != self.name);
            assert_eq!(other, None, "two owners of {}", claim.shard);
            let mut shards = self.shards.lock();
            let epoch = shards.entry(claim.shard).or_insert(claim.epoch);
            *epoch = claim.epoch.max(*epoch);
        }
    }

    async fn drain(&self, shard: ShardId, _limit: Duration) -> bool {
        passes(Duration::from_millis(2)).await;
        self.may_panic(Panic::Draining);
        self.close(shard);
        self.may_panic(Panic::Drained);
        true
    }

    async fn resume(&self, claimed: Claimed) {
        self.may_panic(Panic::Resuming);
        self.adopt(&[claimed], false).await;
    }

    async fn release(&self, shard: ShardId) {
        self.may_panic(Panic::Releasing);
        self.close(shard);
        self.shards.lock().remove(&shard);
    }
}

struct CoordinatorService(OnceLock<Arc<Coordinator>>);

#[async_trait]
impl Service for CoordinatorService {
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, _: Instant) -> Bytes {
        let coordinator = self.0.get().expect("set before it serves");
        coordinator.answer(from, &request).await
    }

    async fn receive(&self, _: &(NodeId, Incarnation), _: Bytes) {}

    fn disconnected(&self, _: &(NodeId, Incarnation)) {}
}

struct Member {
    host: Arc<Host>,
    coordinator: Arc<Coordinator>,
    claims: MemoryMembership,
    stop: oneshot::Sender<()>,
}

struct Rig {
    authority: MemoryMembership,
    network: MemoryNetwork,
    open: Arc<Open>,
}

impl Rig {
    fn new() -> Self {
        let count = ShardCount::new(COUNT).expect("in range");
        Self {
            authority: MemoryMembership::new(&MemoryJournal::default(), count),
            network: MemoryNetwork::new(1, MemorySettings::default()),
            open: Arc::default(),
        }
    }

    async fn join(&self, name: &str) -> Member {
        self.join_with(name, false, &[]).await
    }

    async fn join_with(&self, name: &str, is_leaky: bool, claims: &[Fault]) -> Member {
        let timing = LeaseTiming::default();
        let (node, way) = (NodeId(name.into()), self.authority.caller(name));
        way.script(Call::Claim, claims);
        let address = format!("{name}:1");
        let joined = way.join(&node, &address, timing.length).await;
        let incarnation = joined.expect("free");
        let directory = Directory::new(ShardCount::new(COUNT).expect("in range"));
        let kept = Kept {
            node: node.clone(),
            incarnation,
            timing,
            lease: Lease::new(),
            directory: Arc::clone(&directory),
        };
        let (told, _) = watch::channel(LeaseState::Held);
        let (stop, stopped) = oneshot::channel();
        let ways = MembershipConnections {
            renewals: Arc::new(self.authority.caller(&format!("{name} renews"))),
            looks: Arc::new(self.authority.caller(&format!("{name} looks"))),
        };
        tokio::spawn(async move { keep(&ways, &kept, &told, stopped).await });
        let host = Arc::new(Host {
            name: name.into(),
            open: Arc::clone(&self.open),
            shards: Mutex::default(),
            handed_over: Mutex::default(),
            is_leaky,
            panics: Mutex::default(),
        });
        let links = self.network.join(Peer {
            node: node.clone(),
            incarnation,
            address,
        });
        let parts = CoordinatorParts {
            node,
            incarnation,
            membership: Arc::new(way.clone()),
            directory,
            shards: Arc::clone(&host) as _,
            links: Arc::clone(&links) as _,
        };
        let coordinator = Coordinator::start(parts, CoordinatorSettings::default());
        links.serve(Arc::new(CoordinatorService(OnceLock::from(Arc::clone(
            &coordinator,
        )))));
        Member {
            host,
            coordinator,
            claims: way,
            stop,
        }
    }

    /// Waits until the members have so many shards each, by their own account and the authority's.
    async fn until(&self, limit: Duration, wanted: &[(&Member, usize)]) {
        let is_so = async {
            loop {
                let truth = self.authority.truth();
                let has = |name: &str| {
                    let owners = truth.shards.iter().filter_map(|shard| shard.owner.as_ref());
                    owners.filter(|owner| owner.0.0 == name).count()
                };
                let open = self.open.0.lock().clone();
                let is_open = |name: &str| open.values().filter(|open| *open == name).count();
                if wanted.iter().all(|(member, count)| {
                    let name = &member.host.name;
                    has(name) == *count
                        && is_open(name) == *count
                        && member.host.owned().len() == *count
                }) {
                    return;
                }
                passes(Duration::from_millis(1)).await;
            }
        };
        if timeout(limit, is_so).await.is_err() {
            let truth = self.authority.truth().shards;
            let owners = truth
                .into_iter()
                .map(|shard| shard.owner.map(|owner| owner.0.0));
            let hosts = wanted.iter().map(|(member, _)| member.host.owned());
            panic!(
                "{:?}, and by their own account {:?}",
                owners.collect::<Vec<_>>(),
                hosts.collect::<Vec<_>>()
            );
        }
    }

    /// As by kill -9.
    fn kill(&self, member: Member) {
        let name = &member.host.name;
        self.network.crash(&NodeId(name.clone()));
        self.open.0.lock().retain(|_, open| open != name);
        for way in [name.clone(), format!("{name} renews")] {
            self.authority.caller(&way).cut(true);
        }
        drop(member.stop);
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn what_is_free_is_claimed_and_balanced_by_moves_when_others_come() {
    let rig = Rig::new();
    let a = rig.join("a").await;
    a.coordinator.first_claims_done().await;
    rig.until(Duration::from_millis(10), &[(&a, 16)]).await;
    assert_eq!(a.claims.calls(Call::Claim), 1, "in bulk");
    let b = rig.join("b").await;
    rig.until(seconds(1), &[(&a, 8), (&b, 8)]).await;
    assert_eq!(
        *b.host.handed_over.lock(),
        8,
        "nothing was claimed otherwise"
    );
    let c = rig.join("c").await;
    passes(seconds(1)).await;
    let mut sizes = [&a, &b, &c].map(|member| member.host.owned().len());
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 5, 6], "within one");
    // And nothing more happens.
    let before = rig.authority.truth().shards;
    passes(seconds(20)).await;
    assert_eq!(rig.authority.truth().shards, before);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_an_offer_is_settled() {
    for (lost_requests_per_mille, lost_answers_per_mille) in [(0, 1000), (1000, 0), (300, 300)] {
        let rig = Rig::new();
        let a = rig.join("a").await;
        rig.until(seconds(1), &[(&a, 16)]).await;
        rig.network.set_faults(NetworkFaults {
            lost_requests_per_mille,
            lost_answers_per_mille,
            ..NetworkFaults::default()
        });
        let b = rig.join("b").await;
        passes(seconds(8)).await;
        rig.network.set_faults(NetworkFaults::default());
        rig.until(seconds(8), &[(&a, 8), (&b, 8)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_move_leaves_no_shard_without_an_owner() {
    for panics in [
        vec![Panic::Draining],
        vec![Panic::Drained],
        vec![Panic::Drained, Panic::Resuming],
        vec![Panic::Releasing],
    ] {
        let rig = Rig::new();
        let a = rig.join("a").await;
        rig.until(seconds(1), &[(&a, 16)]).await;
        *a.host.panics.lock() = panics;
        let b = rig.join("b").await;
        rig.until(seconds(8), &[(&a, 8), (&b, 8)]).await;
        assert!(a.host.panics.lock().is_empty(), "it went another way");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_authority_is_settled() {
    for call in [Call::TakeOver, Call::Claim] {
        let rig = Rig::new();
        let a = rig.join("a").await;
        rig.until(seconds(1), &[(&a, 16)]).await;
        for name in ["a", "b"] {
            let way = rig.authority.caller(name);
            way.script(
                call,
                &[Fault::AnswerLost, Fault::Unavailable, Fault::AnswerLost],
            );
            way.script(Call::View, &[Fault::Unavailable]);
        }
        let b = rig.join("b").await;
        rig.until(seconds(10), &[(&a, 8), (&b, 8)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_taken_over_from_at_once_and_in_bulk() {
    let rig = Rig::new();
    let (a, b) = (rig.join("a").await, rig.join("b").await);
    rig.until(seconds(2), &[(&a, 8), (&b, 8)]).await;
    let c = rig.join("c").await;
    passes(seconds(2)).await;
    let claims = |member: &Member| member.claims.calls(Call::Claim);
    let before = (claims(&a), claims(&b));
    rig.kill(c);
    // The lease, and a look.
    rig.until(Duration::from_millis(1700), &[(&a, 8), (&b, 8)])
        .await;
    assert_eq!((claims(&a), claims(&b)), (before.0 + 1, before.1 + 1));
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_was_away_costs_no_more_than_that() {
    let rig = Rig::new();
    let a = rig.join_with("a", false, &[Fault::Unavailable; 20]).await;
    // A look a second.
    rig.until(seconds(22), &[(&a, 16)]).await;
}

#[tokio::test(start_paused = true)]
async fn claims_of_one_shard_are_bounded() {
    let rig = Rig::new();
    let a = rig.join_with("a", true, &[]).await;
    passes(seconds(55)).await;
    assert_eq!(*a.host.handed_over.lock(), 0);
    let truth = rig.authority.truth();
    let epochs: Vec<_> = truth.shards.iter().map(|shard| shard.epoch.0).collect();
    assert_eq!(epochs, [12; 16]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_everything_away_and_ends_without_heirs() {
    let rig = Rig::new();
    let a = rig.join("a").await;
    rig.until(seconds(1), &[(&a, 16)]).await;
    assert!(!a.coordinator.drain(seconds(5)).await, "nobody is there");
    rig.until(seconds(1), &[(&a, 16)]).await;
    let b = rig.join("b").await;
    rig.until(seconds(1), &[(&a, 0), (&b, 16)]).await;

    // A few milliseconds each, four at a time.
    let began = Instant::now();
    let c = rig.join("c").await;
    rig.until(seconds(1), &[(&b, 8), (&c, 8)]).await;
    let way = rig.authority.caller("c");
    way.script(Call::SetDraining, &[Fault::Unavailable]);
    assert!(c.coordinator.drain(seconds(5)).await);
    rig.until(Duration::from_millis(10), &[(&b, 16), (&c, 0)])
        .await;
    assert!(
        began.elapsed() < Duration::from_millis(600),
        "{:?}",
        began.elapsed()
    );
    c.coordinator.stop().await;
    drop(c.stop);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_also_while_a_move_cannot_be_settled() {
    let rig = Rig::new();
    let a = rig.join("a").await;
    rig.until(seconds(1), &[(&a, 16)]).await;
    rig.network.set_faults(NetworkFaults {
        lost_requests_per_mille: 1000,
        ..NetworkFaults::default()
    });
    let _b = rig.join("b").await;
    passes(Duration::from_millis(100)).await;
    rig.authority.caller("a").cut(true);
    passes(seconds(1)).await;
    let stopped = timeout(seconds(2), a.coordinator.stop()).await;
    assert!(stopped.is_ok(), "it waits for the authority");
}

/// Simulated time goes on by so much: the clock is paused, and moves when nobody has anything to do.
async fn passes(time: Duration) {
    // Nothing waits here for something else to happen.
    tokio::time::sleep(time).await;
}
