//! The authority over nodes and shards, in memory: many nodes, leases by tokio's clock, epochs shared
//! with the in-memory journal, and faults at chosen calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, Membership, MembershipError, NodeId,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::authority::Authority;
use super::journal::MemoryJournal;

/// A method of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    ShardCount,
    Join,
    Renew,
    View,
    Claim,
    TakeOver,
    SetDraining,
    Raise,
    Leave,
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It works.
    None,
    /// It doesn't happen, and says that nobody knows.
    Unavailable,
    /// It happens, and the answer is lost.
    AnswerLost,
    /// It happens so much later, also if the caller has given up meanwhile.
    RequestDelayed(Duration),
    /// It happens now, and is answered so much later.
    AnswerDelayed(Duration),
}

/// One caller's way to the authority. Those made by [`Self::caller`] share the authority, and each
/// has faults and hints of its own.
#[derive(Clone)]
pub struct MemoryMembership {
    shared: Arc<Mutex<Shared>>,
    caller: String,
    hint: Arc<Notify>,
}

struct Shared {
    authority: Authority,
    callers: BTreeMap<String, Caller>,
}

#[derive(Default)]
struct Caller {
    hint: Arc<Notify>,
    cut: bool,
    calls: BTreeMap<Call, u64>,
    scripts: BTreeMap<Call, VecDeque<Fault>>,
}

impl MemoryMembership {
    /// A fresh authority over `count` free shards, and a first way to it.
    pub fn new(journal: &MemoryJournal, count: ShardCount) -> Self {
        let shared = Shared {
            authority: Authority::new(journal, count),
            callers: BTreeMap::new(),
        };
        let first = Self {
            shared: Arc::new(Mutex::new(shared)),
            caller: String::new(),
            hint: Arc::default(),
        };
        first.caller("")
    }

    /// Another way to the same authority. The same name again is the same way.
    pub fn caller(&self, name: &str) -> Self {
        let mut shared = self.shared.lock();
        let caller = shared.callers.entry(name.into()).or_default();
        Self {
            shared: Arc::clone(&self.shared),
            caller: name.into(),
            hint: Arc::clone(&caller.hint),
        }
    }

    /// The next calls of this method on this way fare like this; later ones work.
    pub fn script(&self, call: Call, faults: &[Fault]) {
        self.with_caller(|caller| {
            caller
                .scripts
                .insert(call, faults.iter().copied().collect());
        });
    }

    /// While it is cut, no call on this way gets there, and no hint comes.
    pub fn cut(&self, cut: bool) {
        self.with_caller(|caller| caller.cut = cut);
    }

    /// How often this method was called on this way.
    pub fn calls(&self, call: Call) -> u64 {
        let shared = self.shared.lock();
        let caller = shared.callers.get(&self.caller);
        caller
            .and_then(|caller| caller.calls.get(&call).copied())
            .unwrap_or(0)
    }

    /// A defect on purpose: claims and take-overs leave the epochs as they are.
    pub fn break_epochs(&self) {
        self.shared.lock().authority.claims_keep_epoch = true;
    }

    /// What there is, whatever the faults.
    pub fn truth(&self) -> ClusterView {
        self.shared.lock().authority.view()
    }

    fn with_caller(&self, change: impl FnOnce(&mut Caller)) {
        let mut shared = self.shared.lock();
        change(shared.callers.entry(self.caller.clone()).or_default());
    }

    async fn call<T: Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&mut Authority) -> Result<T, MembershipError> + Send + 'static,
    ) -> Result<T, MembershipError> {
        // Others run meanwhile, as during a real round trip.
        tokio::task::yield_now().await;
        let fault = self.shared.lock().fault(&self.caller, call);
        match fault {
            Fault::None => self.shared.lock().run(work),
            Fault::Unavailable => Err(away()),
            Fault::AnswerLost => {
                self.shared.lock().run(work).ok();
                Err(away())
            }
            Fault::RequestDelayed(by) => {
                let shared = Arc::clone(&self.shared);
                let under_way = tokio::spawn(async move {
                    // The delay itself.
                    tokio::time::sleep(by).await;
                    shared.lock().run(work)
                });
                under_way.await.unwrap_or_else(|_| Err(away()))
            }
            Fault::AnswerDelayed(by) => {
                let answer = self.shared.lock().run(work);
                // The delay itself.
                tokio::time::sleep(by).await;
                answer
            }
        }
    }
}

impl Shared {
    fn fault(&mut self, name: &str, call: Call) -> Fault {
        let Some(caller) = self.callers.get_mut(name) else {
            return Fault::None;
        };
        *caller.calls.entry(call).or_default() += 1;
        if caller.cut {
            return Fault::Unavailable;
        }
        let script = caller.scripts.get_mut(&call);
        script.and_then(VecDeque::pop_front).unwrap_or(Fault::None)
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut Authority) -> T) -> T {
        let before = self.authority.changes;
        let answer = work(&mut self.authority);
        if self.authority.changes != before {
            for caller in self.callers.values().filter(|caller| !caller.cut) {
                caller.hint.notify_one();
            }
        }
        answer
    }
}

fn away() -> MembershipError {
    MembershipError::Unavailable("scripted".into())
}

#[async_trait]
impl Membership for MemoryMembership {
    async fn shard_count(&self) -> Result<ShardCount, MembershipError> {
        self.call(Call::ShardCount, |authority| Ok(authority.count()))
            .await
    }

    async fn join(
        &self,
        node: &NodeId,
        address: &str,
        lease: Duration,
    ) -> Result<Incarnation, MembershipError> {
        let (node, address) = (node.clone(), address.to_owned());
        self.call(Call::Join, move |authority| {
            authority.join(&node, &address, lease)
        })
        .await
    }

    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Result<ClusterView, MembershipError> {
        let node = node.clone();
        self.call(Call::Renew, move |authority| {
            authority.renew(&node, incarnation, lease)
        })
        .await
    }

    async fn view(&self) -> Result<ClusterView, MembershipError> {
        self.call(Call::View, |authority| Ok(authority.view()))
            .await
    }

    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        wanted: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let (node, wanted) = (node.clone(), wanted.to_vec());
        self.call(Call::Claim, move |authority| {
            authority.claim(&node, incarnation, &wanted)
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
        let (node, offered) = (node.clone(), offered.to_vec());
        let from = (from.0.clone(), from.1);
        self.call(Call::TakeOver, move |authority| {
            authority.take_over(&node, incarnation, &from, &offered)
        })
        .await
    }

    async fn set_draining(&self, node: &NodeId, draining: bool) -> Result<(), MembershipError> {
        let node = node.clone();
        self.call(Call::SetDraining, move |authority| {
            authority.set_draining(&node, draining);
            Ok(())
        })
        .await
    }

    async fn raise_cache_generation(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError> {
        let (node, shards) = (node.clone(), shards.to_vec());
        self.call(Call::Raise, move |authority| {
            Ok(authority.raise_cache_generation(&node, incarnation, &shards))
        })
        .await
    }

    async fn leave(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), MembershipError> {
        let node = node.clone();
        self.call(Call::Leave, move |authority| {
            authority.leave(&node, incarnation);
            Ok(())
        })
        .await
    }

    async fn changed(&self) -> Result<(), MembershipError> {
        self.hint.notified().await;
        Ok(())
    }
}
