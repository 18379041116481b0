//! Watching orders live: `GET /api/v1/track` ([`socket`], WebSocket) and
//! `GET /api/v1/orders/{id}/events` ([`events`], SSE). What a listener is told, and in which order,
//! is decided in `live`; this carries it and bounds what a client may do.

pub mod events;
pub mod messages;
pub mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::problem::Problem;
use super::problem_code::Code;
use crate::live::backlog::QueueLimits;
use crate::live::queue::Queue;
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveHub;
use crate::ports::orders::Orders;

/// The path of the WebSocket.
pub const TRACK_PATH: &str = "/api/v1/track";

/// The path of an order's event stream.
pub const EVENTS_PATH: &str = "/api/v1/orders/{id}/events";

/// What the handlers need.
#[derive(Clone)]
pub struct TrackState {
    /// Subscriptions go through the order's actor.
    pub orders: Arc<dyn Orders>,
    /// Where subscriptions end.
    pub hub: Arc<dyn LiveHub>,
    /// Cancelled on shutdown and drain: sockets close with 1012, streams end, no new ones start.
    pub shutdown: CancellationToken,
    /// The open sockets and streams. A server's graceful shutdown doesn't wait for upgraded
    /// connections: whoever stops the program closes this and waits for it, within its limit.
    pub connections: TaskTracker,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// Of `limits.connections_max`: open, or about to be.
    admitted: Arc<AtomicUsize>,
}

/// A place among the sockets and streams allowed, from the admission to the end.
struct Place {
    admitted: Arc<AtomicUsize>,
    _open: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When a client should come back: to another replica, to this one started again, or once somebody
/// has left.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest pause before an order that has too much to do is asked again.
const CROWD_PAUSE: Duration = Duration::from_millis(200);

/// Bounds of live connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sockets and streams of this replica. An idle one takes about 10 KiB: half a GiB for all.
    pub connections_max: usize,
    /// Between pings. Proxies cut idle connections after 60 s or more.
    pub ping_interval: Duration,
    /// Silence on a stream after which a comment is sent.
    pub keep_alive: Duration,
    /// How long one round of writing may take before the peer is given up: a phone in a tunnel may
    /// come back, a peer that is gone should not keep its memory.
    pub write_timeout: Duration,
    /// How long a subscription may take. Longer than the router's own limits, which answer first.
    pub subscribe_timeout: Duration,
    /// How long an order that has too much to do is asked again.
    pub crowd_patience: Duration,
    /// How long to wait for the answer to a close, well within the shortest limit of a shutdown (2 s).
    pub close_timeout: Duration,
    /// What may wait for a slow reader, and how many orders it may follow.
    pub queue: QueueLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            ping_interval: Duration::from_secs(25),
            keep_alive: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            subscribe_timeout: Duration::from_secs(15),
            crowd_patience: Duration::from_secs(5),
            close_timeout: Duration::from_millis(500),
            queue: QueueLimits::default(),
        }
    }
}

impl TrackState {
    /// State with the usual limits.
    pub fn new(
        orders: Arc<dyn Orders>,
        hub: Arc<dyn LiveHub>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            orders,
            hub,
            shutdown,
            connections: TaskTracker::new(),
            limits: Arc::new(Limits::default()),
            admitted: Arc::default(),
        }
    }

    /// Subscribes `queue`, which follows `order` already; an answer comes in any case. An order that has
    /// too much to do is asked again: when a crowd comes back at once, each gets its turn.
    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        queue: Arc<Queue>,
    ) -> Result<Arc<Order>, Problem> {
        let begun = Instant::now();
        let give_up = begun + self.limits.crowd_patience;
        let asked = async {
            loop {
                let subscribed = self.orders.subscribe(order, since, Arc::clone(&queue) as _);
                match subscribed.await {
                    Err(OrdersError::Overloaded { .. }) if Instant::now() < give_up => {
                        time::sleep(CROWD_PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        time::timeout_at(begun + self.limits.subscribe_timeout, asked)
            .await
            .map_err(|_| {
                Problem::new(Code::Unavailable, "the order didn't answer in time")
                    .retry_after(RETRY_AFTER)
            })?
            .map_err(Problem::from)
    }

    /// A place for another connection. Its work begins only with one, so that a crowd that waits for
    /// its subscriptions is within the bound too.
    fn admit(&self) -> Result<Place, Problem> {
        if self.shutdown.is_cancelled() {
            let problem = Problem::new(Code::Unavailable, "this replica is stopping");
            return Err(problem.retry_after(RETRY_AFTER));
        }
        let max = self.limits.connections_max;
        let one_more = |open: usize| (open < max).then_some(open + 1);
        self.admitted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| {
                Problem::new(Code::Overloaded, "too many live connections are open")
                    .retry_after(RETRY_AFTER)
            })?;
        Ok(Place {
            admitted: Arc::clone(&self.admitted),
            _open: self.connections.token(),
        })
    }
}

/// The two routes, to be merged into the router of the public listener.
pub fn routes(state: TrackState) -> Router {
    Router::new()
        .route(TRACK_PATH, get(socket::open_socket))
        .route(EVENTS_PATH, get(events::stream_order_events))
        .with_state(state)
}
