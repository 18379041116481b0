//! Shared by the live routes: subscribing, and the permits of live connections. Leaves the wire to
//! [`super::socket`] and [`super::events`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use trackops_domain::access::Caller;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::limits::Limits;
use super::subscriptions::Subscriptions;
use crate::api::credential;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::auth::{Auth, Ending};
use crate::live::queue::Queue;
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveHub;
use crate::ports::orders::{Orders, OrdersExt as _};

/// The state of the live routes' handlers.
#[derive(Clone)]
pub struct TrackState {
    /// Subscriptions go through the order's actor.
    pub orders: Arc<dyn Orders>,
    /// Tells when the credential of a session has ended.
    pub auth: Auth,
    /// Ends subscriptions.
    pub hub: Arc<dyn LiveHub>,
    /// Cancelled on shutdown and drain: sockets close with 1012, streams end, no new ones start.
    pub shutdown: CancellationToken,
    /// The open sockets and streams. A server's graceful shutdown doesn't wait for upgraded connections, so
    /// the program's shutdown closes this tracker and waits for it, within its limit.
    pub connections: TaskTracker,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// How many of `limits.connections_max` are open or about to be.
    admitted: Arc<AtomicUsize>,
    /// How many orders all connections follow.
    followed: Arc<AtomicUsize>,
}

/// A permit for one socket or stream, from its admission to its end.
pub(super) struct ConnectionPermit {
    admitted: Arc<AtomicUsize>,
    _open: TaskTrackerToken,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When a client should come back: to another replica, to this one after its restart, or once another
/// connection has ended.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest pause before a subscription to an overloaded order is retried.
const CROWD_PAUSE: Duration = Duration::from_millis(200);

impl TrackState {
    /// State with the usual limits.
    pub fn new(
        orders: Arc<dyn Orders>,
        hub: Arc<dyn LiveHub>,
        auth: Auth,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            orders,
            auth,
            hub,
            shutdown,
            connections: TaskTracker::new(),
            limits: Arc::new(Limits::default()),
            admitted: Arc::default(),
            followed: Arc::default(),
        }
    }

    /// Subscribes `queue`, which follows `order` already; always answers within `limits.subscribe_timeout`.
    /// An overloaded order is asked again, so that every client gets its turn when a crowd comes back at
    /// once.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        order: OrderId,
        since: Option<Version>,
        queue: Arc<Queue>,
    ) -> Result<Arc<Order>, Problem> {
        let begun = Instant::now();
        let give_up = begun + self.limits.crowd_patience;
        let asked = async {
            if caller.is_scoped() {
                // Before anything of the order goes into the queue. Whose an order is never changes but for its
                // courier.
                self.orders.read(order, caller).await?;
            }
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

    /// The end of the credential of a request; `None` where nobody needs one.
    pub(super) fn ending(&self, headers: &HeaderMap) -> Option<Ending> {
        let credential = credential::of(headers).ok().flatten()?;
        Ending::of(&self.auth, &credential)
    }

    /// The subscriptions of a new connection.
    pub(super) fn subscriptions(&self) -> Subscriptions {
        Subscriptions::new(
            Arc::clone(&self.followed),
            self.limits.subscriptions_total_max,
        )
    }

    /// A permit for another connection. A connection takes its permit before any other work, so that
    /// connections that still wait for their subscriptions are within the bound too.
    pub(super) fn admit(&self) -> Result<ConnectionPermit, Problem> {
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
        Ok(ConnectionPermit {
            admitted: Arc::clone(&self.admitted),
            _open: self.connections.token(),
        })
    }
}
