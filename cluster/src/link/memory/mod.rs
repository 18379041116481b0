//! Links between several nodes in one process, over a simulated network that can be cut.
//!
//! Made for seeded simulations: on a current-thread runtime with a paused clock, a run is repeated
//! exactly by its seed. Chances are drawn from the seed alone, ids come from counters, nothing
//! walks a hash map, and every `select` has a fixed order.
//!
//! It keeps the promises of [`super`], and fails as the real transport does:
//!
//! - A cut loses nothing at first, because TCP sends again: calls and messages in flight wait until the
//!   cut is healed. After [`MemorySettings::silence_limit`] keepalive finds the link dead, in both
//!   directions even if only one is cut, and everything in flight is lost. So a request can be carried
//!   out although its answer never arrives.
//! - While a cut lasts no new link is made: calls are `NotSent`.
//! - A crashed node's links break at once, as the kernel closes the sockets of a killed process.

mod links;
mod net;
mod network_faults;
mod settings;

use std::sync::Arc;

pub use links::MemoryLinks;
pub use network_faults::NetworkFaults;
pub use settings::MemorySettings;

use net::Net;

use super::Peer;
use crate::membership::NodeId;

/// The simulated network; clones are the same network. Has to be used inside a tokio runtime.
#[derive(Clone)]
pub struct MemoryNetwork {
    net: Arc<Net>,
}

impl MemoryNetwork {
    /// A network without trouble. All chances are drawn from `seed`.
    pub fn new(seed: u64, settings: MemorySettings) -> Self {
        Self {
            net: Net::new(seed, settings),
        }
    }

    /// Adds a node. An earlier incarnation that is still there crashes. The node can call others at once,
    /// and others can call it after [`MemoryLinks::serve`].
    pub fn join(&self, me: Peer) -> Arc<MemoryLinks> {
        self.net.join(&me);
        Arc::new(MemoryLinks::new(me, Arc::clone(&self.net)))
    }

    /// Changes the faults of everything sent from now on.
    pub fn set_faults(&self, faults: NetworkFaults) {
        self.net.set_faults(faults);
    }

    /// Cuts the direction from `from` to `to`. The other direction still works until the link is found
    /// dead.
    pub fn cut(&self, from: &NodeId, to: &NodeId) {
        self.net.cut(&[(from, to)]);
    }

    /// Cuts both directions.
    pub fn cut_both(&self, a: &NodeId, b: &NodeId) {
        self.net.cut(&[(a, b), (b, a)]);
    }

    /// Heals both directions between the two.
    pub fn heal(&self, a: &NodeId, b: &NodeId) {
        self.net
            .heal(|from, to| (from == a.0 && to == b.0) || (from == b.0 && to == a.0));
    }

    /// Heals every cut.
    pub fn heal_all(&self) {
        self.net.heal(|_, _| true);
    }

    /// Breaks the link over which `from` calls `to`, at once. Everything in flight is lost. The next use
    /// makes a new link.
    pub fn break_link(&self, from: &NodeId, to: &NodeId) {
        self.net.break_link(&from.0, &to.0);
    }

    /// Crashes the node: its links break, the work of its service is dropped half-way, and its own calls
    /// are `NotSent`.
    pub fn crash(&self, node: &NodeId) {
        self.net.crash(&node.0);
    }
}
