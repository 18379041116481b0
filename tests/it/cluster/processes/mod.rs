//! Several replicas as real processes on real servers: killed, paused, cut off, started again, under
//! load. What clients were told is checked by version (`history`, `search`) beside the invariants.

mod balancer;
mod caller;
mod certificates;
mod clients;
mod clocks;
pub mod fleet;
mod history;
mod http;
mod identity;
mod kill;
mod latencies;
mod links;
mod live;
mod metrics;
mod pause;
mod rolling;
mod search;
mod servers;
mod severed;
mod upgrade;
mod versions;
mod wire;

use std::sync::Arc;

use self::clients::{Clients, Policy};
use self::fleet::Fleet;
use crate::support::acknowledged::Acknowledged;
use crate::support::recorder::Recorder;

/// Clients of a fleet at work, and someone who listens to all of their orders at one place.
struct Watched {
    told: Arc<Acknowledged>,
    recorder: Arc<Recorder>,
    clients: Clients,
}

impl Watched {
    /// Clients of `addresses`, and a listener at `url`.
    async fn start(addresses: Vec<String>, url: &str, policy: Policy) -> Self {
        let told = Arc::new(Acknowledged::default());
        let recorder = Arc::new(Recorder::start(url, Arc::clone(&told)));
        let clients = Clients::start(addresses, policy, &told, Some(&recorder));
        clients.more(40).await;
        Self {
            told,
            recorder,
            clients,
        }
    }

    /// Ends them and checks everything.
    async fn finish(self, fleet: &mut Fleet) {
        let shared = self.clients.finish().await;
        let ops = shared.history.ops();
        let contended = ops.values().filter(|ops| history::is_contended(ops));
        let contended = contended.count();
        let refused = |op: &&history::Op| matches!(op.kind, history::Kind::Refused { .. });
        let refused = ops.values().flatten().filter(refused).count();
        let orders = ops.len();
        eprintln!("clients met at {contended} of {orders} orders; {refused} steps were refused");
        assert!(contended > 0, "no two clients met at any order");
        fleet
            .check(&self.told, &shared.history, &[&self.recorder])
            .await;
    }
}
