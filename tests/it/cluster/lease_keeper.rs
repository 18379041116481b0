//! The keeper of the lease and the directory, over the in-memory membership.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use trackops_cluster::changes::ChangeReceiver;
use trackops_cluster::directory::Directory;
use trackops_cluster::lease::{Lease, LeaseTiming};
use trackops_cluster::lease_keeper::{Kept, LeaseKeeper, LeaseState, MembershipConnections, keep};
use trackops_cluster::membership::{Membership as _, NodeId};
use trackops_cluster::{ShardCount, ShardId};

use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::{Call, Fault, MemoryMembership};

/// A running keeper of node `a`, which owns every shard.
struct Rig {
    /// The keeper's way to the authority, and another's.
    way: MemoryMembership,
    other: MemoryMembership,
    kept: Kept,
    lease_state: watch::Receiver<LeaseState>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// Lets so much of the paused clock pass.
async fn pass(time: Duration) {
    // Paused, it moves on only when everybody waits: nothing is left to chance.
    tokio::time::sleep(time).await;
}

async fn joined(timing: LeaseTiming) -> (MemoryMembership, Kept) {
    let count = ShardCount::new(4).expect("in range");
    let way = MemoryMembership::new(&MemoryJournal::default(), count).caller("a");
    let node = NodeId("a".into());
    let incarnation = way.join(&node, "a:1", timing.length).await.expect("free");
    let view = way.view().await.expect("works");
    let wanted: Vec<_> = view.shards.iter().map(|s| (s.shard, s.epoch)).collect();
    way.claim(&node, incarnation, &wanted).await.expect("free");
    let kept = Kept {
        node,
        incarnation,
        timing,
        lease: Lease::new(),
        directory: Directory::new(count),
    };
    (way, kept)
}

fn both(way: &MemoryMembership) -> MembershipConnections {
    MembershipConnections {
        renewals: Arc::new(way.clone()),
        looks: Arc::new(way.clone()),
    }
}

impl Rig {
    async fn start(faults: &[(Call, Fault)]) -> Self {
        let (way, kept) = joined(LeaseTiming::default()).await;
        for (call, fault) in faults {
            way.script(*call, &[*fault]);
        }
        let (told, lease_state) = watch::channel(LeaseState::Held);
        let (stop, stopped) = oneshot::channel();
        let (its, ways) = (kept.clone(), both(&way));
        let running = tokio::spawn(async move { keep(&ways, &its, &told, stopped).await });
        Self {
            other: way.caller("b"),
            way,
            kept,
            lease_state,
            stop,
            running,
        }
    }

    /// Runs until the directory has changed; how long that took.
    async fn changed(&self, changes: &mut ChangeReceiver) -> Duration {
        let started = Instant::now();
        let told = timeout(self.kept.timing.length, changes.changed()).await;
        told.expect("it changes").expect("it is there");
        started.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_the_lease_and_feed_the_directory() {
    let rig = Rig::start(&[]).await;
    for _ in 0..100 {
        pass(Duration::from_millis(100)).await;
        assert!(rig.kept.lease.holds());
        let seen = rig.kept.directory.seen().expect("a renewal is back");
        assert!(seen.elapsed() <= rig.kept.timing.renew_every);
    }
    assert_eq!(*rig.lease_state.borrow(), LeaseState::Held);
    let owner = rig.kept.directory.owner(ShardId(3)).expect("a owns all");
    assert_eq!(
        (owner.node, owner.address.as_str()),
        (rig.kept.node.clone(), "a:1")
    );
    drop(rig.stop);
    rig.running.await.expect("it ends when it is told to");
    pass(rig.kept.timing.length).await;
    assert!(!rig.kept.lease.holds());
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_followed_at_once() {
    let rig = Rig::start(&[]).await;
    // Right after a renewal, so that the next one is far.
    pass(rig.kept.timing.renew_every + Duration::from_millis(50)).await;
    let mut changes = rig.kept.directory.changes();
    rig.other
        .join(&NodeId("b".into()), "b:1", rig.kept.timing.length)
        .await
        .expect("free");
    let after = rig.changed(&mut changes).await;
    assert!(after <= Duration::from_millis(20), "{after:?}");
    assert_eq!(rig.kept.directory.view().nodes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_answered_at_once_but_not_at_any_rate() {
    let rig = Rig::start(&[]).await;
    pass(rig.kept.timing.renew_every + Duration::from_millis(50)).await;
    let asked = Instant::now();
    rig.kept.directory.ask_refresh();
    pass(Duration::from_millis(1)).await;
    assert!(rig.kept.directory.seen().expect("long ago") >= asked);

    let before = rig.way.calls(Call::View);
    for _ in 0..1000 {
        rig.kept.directory.ask_refresh();
        pass(Duration::from_millis(1)).await;
    }
    let looks = rig.way.calls(Call::View) - before;
    assert!((20..=50).contains(&looks), "{looks} looks in a second");
    assert!(rig.kept.lease.holds());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_hangs_does_not_cost_the_lease() {
    let hung = Fault::AnswerDelayed(Duration::from_secs(60));
    let rig = Rig::start(&[(Call::View, hung)]).await;
    pass(Duration::from_millis(50)).await;
    rig.kept.directory.ask_refresh();
    for _ in 0..50 {
        pass(Duration::from_millis(100)).await;
        assert!(rig.kept.lease.holds());
    }
    assert_eq!(*rig.lease_state.borrow(), LeaseState::Held);
}

#[tokio::test(start_paused = true)]
async fn the_lease_counts_from_before_the_renewal_was_sent() {
    let started = Instant::now();
    let late = Fault::AnswerDelayed(Duration::from_millis(450));
    let rig = Rig::start(&[(Call::Renew, late)]).await;
    pass(Duration::from_millis(300)).await;
    rig.way.cut(true);
    pass(Duration::from_millis(1090)).await;
    assert_eq!(started.elapsed(), Duration::from_millis(1390));
    assert!(rig.kept.lease.holds());
    pass(Duration::from_millis(20)).await;
    assert!(!rig.kept.lease.holds());
    assert_eq!(*rig.lease_state.borrow(), LeaseState::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ended_is_over_for_good() {
    let mut rig = Rig::start(&[]).await;
    pass(Duration::from_millis(50)).await;
    rig.way.cut(true);
    pass(rig.kept.timing.length * 2).await;
    assert_eq!(*rig.lease_state.borrow(), LeaseState::Unreachable);
    // Whom it knew it goes on sending to: it is the one that is cut off.
    assert!(rig.kept.directory.owner(ShardId(0)).is_some());
    rig.way.cut(false);
    let deposed = rig
        .lease_state
        .wait_for(|lease_state| *lease_state == LeaseState::Deposed);
    drop(deposed.await.expect("it is told"));
    rig.running.await.expect("it has ended by itself");
    assert!(!rig.kept.lease.holds());
}

#[tokio::test]
async fn it_runs_on_a_thread_of_its_own() {
    let (way, kept) = joined(LeaseTiming::of(Duration::from_secs(60))).await;
    let mut changes = kept.directory.changes();
    let keeper = LeaseKeeper::start(move || both(&way), kept.clone(), Instant::now());
    let keeper = keeper.expect("a thread");
    changes.changed().await.expect("it is there");
    assert!(kept.directory.owner(ShardId(0)).is_some());
    assert!(kept.lease.holds());
    assert_eq!(*keeper.lease_state().borrow(), LeaseState::Held);
    tokio::task::spawn_blocking(|| keeper.stop())
        .await
        .expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn a_slow_way_to_the_authority_is_waited_for_once_the_lease_is_over() {
    let rig = Rig::start(&[]).await;
    // Longer than a renewal may take while there is a lease to be lost.
    let slow = Fault::AnswerDelayed(Duration::from_secs(1));
    rig.way.script(Call::Renew, &[slow; 200]);
    let mut lease_state = rig.lease_state.clone();
    for expected in [LeaseState::Unreachable, LeaseState::Held] {
        let told = lease_state.wait_for(|lease_state| *lease_state == expected);
        let told = timeout(Duration::from_secs(20), told).await;
        told.expect("in time").expect("it runs");
    }
}
