//! What a coordinator does about a shard that another replica offers, while the authority and its own
//! host of entities don't agree yet on whose it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut as _, BytesMut};
use parking_lot::Mutex;
use tokio::time::Instant;
use trackops_cluster::coordinator::{Coordinator, CoordinatorParts, CoordinatorSettings, Shards};
use trackops_cluster::directory::Directory;
use trackops_cluster::membership::{Claimed, Incarnation, Membership as _, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::links::{MemoryLinks, Network};
use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::{Call, Fault, MemoryMembership};

const LEASE: Duration = Duration::from_secs(600);
const SHARD: ShardId = ShardId(0);

/// A host that owns what it was told to adopt, and remembers how.
#[derive(Default)]
struct Host(Mutex<Vec<(ShardId, Epoch, bool)>>);

#[async_trait]
impl Shards for Host {
    fn owned(&self) -> Vec<(ShardId, Epoch)> {
        let adopted = self.0.lock();
        adopted
            .iter()
            .map(|(shard, epoch, _)| (*shard, *epoch))
            .collect()
    }

    async fn adopt(&self, claimed: &[Claimed], handed_over: bool) {
        let mut adopted = self.0.lock();
        adopted.extend(claimed.iter().map(|c| (c.shard, c.epoch, handed_over)));
    }

    async fn drain(&self, _: ShardId, _: Duration) -> bool {
        false
    }

    async fn resume(&self, _: Claimed) {}

    async fn release(&self, _: ShardId) {}
}

fn offer(epoch: Epoch) -> BytesMut {
    let mut message = BytesMut::new();
    message.put_u8(1);
    message.put_u16(SHARD.0);
    message.put_i64(epoch.0);
    message
}

struct Newcomer {
    /// Its own way to the authority.
    way: MemoryMembership,
    /// Its own life.
    incarnation: Incarnation,
    directory: Arc<Directory>,
    host: Arc<Host>,
    coordinator: Arc<Coordinator>,
    /// Who offers, and the epoch of its claim.
    from: ((NodeId, Incarnation), Epoch),
}

impl Newcomer {
    /// One shard, owned by `a`; `b` has just come.
    async fn start() -> Self {
        let count = ShardCount::new(1).expect("in range");
        let authority = MemoryMembership::new(&MemoryJournal::default(), count);
        let (a, b) = (NodeId("a".into()), NodeId("b".into()));
        let givers = authority.join(&a, "a", LEASE).await.expect("free");
        let claimed = authority.claim(&a, givers, &[(SHARD, Epoch(0))]).await;
        let epoch = claimed.expect("free")[0].epoch;
        let way = authority.caller("b");
        let incarnation = way.join(&b, "b", LEASE).await.expect("free");
        let directory = Directory::new(count);
        directory.update(authority.truth(), Instant::now());
        let host = Arc::new(Host::default());
        let parts = CoordinatorParts {
            node: b,
            incarnation,
            membership: Arc::new(way.clone()),
            directory: Arc::clone(&directory),
            shards: Arc::clone(&host) as _,
            links: Arc::new(MemoryLinks {
                me: "b".into(),
                network: Arc::new(Network::default()),
            }),
        };
        Self {
            way,
            incarnation,
            directory,
            host,
            coordinator: Coordinator::start(parts, CoordinatorSettings::default()),
            from: ((a, givers), epoch),
        }
    }

    /// The offer is taken by the authority, and the answer keeps it waiting; the directory knows sooner.
    async fn takes_slowly(&self, answer: Duration) -> tokio::task::JoinHandle<bytes::Bytes> {
        self.way
            .script(Call::TakeOver, &[Fault::AnswerDelayed(answer)]);
        let (coordinator, (from, epoch)) = (Arc::clone(&self.coordinator), self.from.clone());
        let taking = tokio::spawn(async move { coordinator.answer(&from, &offer(epoch)).await });
        // The clock is paused: time goes on by so much.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let truth = self.way.truth();
        assert_eq!(truth.live_owner(SHARD).map(|n| &*n.node.0), Some("b"));
        self.directory.update(truth, Instant::now());
        taking
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_being_taken_up_is_not_claimed_once_more() {
    let newcomer = Newcomer::start().await;
    let taking = newcomer.takes_slowly(Duration::from_millis(100)).await;
    let answer = taking.await.expect("it doesn't panic");
    assert_eq!(answer[1], 1, "taken");
    // Some more looks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let epoch = Epoch(newcomer.from.1.0 + 1);
    assert_eq!(*newcomer.host.0.lock(), [(SHARD, epoch, true)]);
    assert_eq!(newcomer.way.calls(Call::Claim), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_taking_up_was_given_up_half_way_is_claimed() {
    let newcomer = Newcomer::start().await;
    let taking = newcomer.takes_slowly(Duration::from_secs(60)).await;
    // As a link does at the deadline.
    taking.abort();
    // The same.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let epoch = Epoch(newcomer.from.1.0 + 2);
    assert_eq!(*newcomer.host.0.lock(), [(SHARD, epoch, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_passed_to_and_fro_is_refused_for_the_rest_of_the_minute() {
    let newcomer = Newcomer::start().await;
    let (from, mut epoch) = newcomer.from.clone();
    let me = (NodeId("b".into()), newcomer.incarnation);
    // It takes the shard, and gives it back.
    let mut passes = async || {
        let answer = newcomer.coordinator.answer(&from, &offer(epoch)).await;
        let is_taken = answer[1] == 1;
        if is_taken {
            newcomer.host.0.lock().clear();
            let mine = [(SHARD, Epoch(epoch.0 + 1))];
            let back = newcomer
                .way
                .take_over(&from.0, from.1, (&me.0, me.1), &mine);
            epoch = back.await.expect("works")[0].epoch;
            newcomer
                .directory
                .update(newcomer.way.truth(), Instant::now());
        }
        is_taken
    };
    let most = CoordinatorSettings::default().offers_per_minute_max;
    for time in 0..most {
        assert!(passes().await, "time {time}");
    }
    assert!(!passes().await, "once too often");
    // Whoever drains is rid of it all the same.
    newcomer
        .way
        .set_draining(&from.0, true)
        .await
        .expect("works");
    newcomer
        .directory
        .update(newcomer.way.truth(), Instant::now());
    assert!(passes().await, "of one that drains");
    newcomer
        .way
        .set_draining(&from.0, false)
        .await
        .expect("works");
    newcomer
        .directory
        .update(newcomer.way.truth(), Instant::now());
    assert!(!passes().await, "of one that doesn't");
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(passes().await, "another minute");
}
