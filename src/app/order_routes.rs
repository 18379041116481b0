//! The public routes of the order service: REST and live routes, and how the live connections end.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::late_bound::LateBoundOrders;
use super::listeners::HttpListener;
use crate::api::router;
use crate::api::served::Served;
use crate::api::state::ApiState;
use crate::api::track::{self, TrackState, TrackingState};
use crate::auth::Auth;
use crate::auth::tracking_links::TrackingLinks;
use crate::config::Config;
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::live::LiveHub;

/// The sockets and streams of a listener.
pub(super) struct LiveConnections {
    stop: CancellationToken,
    open: TaskTracker,
}

/// The public routes, and a handle on the live connections that stay open on them.
pub(super) fn routes(
    orders: &Arc<LateBoundOrders>,
    hub: Arc<dyn LiveHub>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    auth: &Auth,
    links: TrackingLinks,
    config: &Config,
) -> (Served, LiveConnections) {
    let stop = CancellationToken::new();
    let mut state = TrackState::new(Arc::clone(orders) as _, hub, auth.clone(), stop.clone());
    let mut limits = track::Limits::default();
    limits.queue.orders = config.live.subscriptions_max;
    limits.subscriptions_total_max = config.live.subscriptions_total_max;
    state.limits = Arc::new(limits);
    let open = state.connections.clone();
    let api = ApiState {
        orders: Arc::clone(orders) as _,
        journal,
        clock,
        links: links.clone(),
    };
    let tracking = TrackingState {
        live: state.clone(),
        links,
    };
    let routes = router::public_order_routes(api)
        .merge(router::live_routes(state))
        .merge(router::tracking_routes(tracking));
    (routes, LiveConnections { stop, open })
}

impl LiveConnections {
    /// Closes sockets (1012) and ends streams, then the listener; within `limit`.
    pub async fn stop(self, listener: HttpListener, limit: Duration) {
        self.stop.cancel();
        self.open.close();
        tokio::join!(listener.stop(), async {
            // Their close frames are bounded by the sockets' own limit.
            let _ = tokio::time::timeout(limit, self.open.wait()).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    #[test]
    fn the_default_key_is_the_default_limit() {
        let config = Config::load(None, &Flags::default()).expect("defaults are valid");
        let limits = track::Limits::default();
        assert_eq!(config.live.subscriptions_max, limits.queue.orders);
        let all = config.live.subscriptions_total_max;
        assert_eq!(all, limits.subscriptions_total_max);
    }
}
