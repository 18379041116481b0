//! Every replica answers for every order: what this one owns it works on itself, the rest goes to
//! the owner in one hop ([`forward`]), and what others send here is worked on here and nowhere else
//! ([`serve`]). Live subscriptions follow the owners ([`watch`]). Who owns what is the directory's
//! business, how bytes travel that of the links.

mod forward;
mod serve;
mod watch;

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::ShardId;
use trackops_cluster::directory::{Directory, Owner};
use trackops_cluster::link::{Links, Peer};
use trackops_cluster::vital::Vital;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::actors::Node;
use crate::actors::tenure::Standing;
use crate::codec::link::{Answer, Request};
use crate::live::feed::Feeds;
use crate::live::mirror::{Mirror, MirrorSettings, Subscribed};
use crate::model::order_answer::OrderAnswer;
use crate::model::order_request::OrderRequest;
use crate::model::orders_error::OrdersError;
use crate::ports::live::{LiveHub, Session};
use crate::ports::orders::Orders;
use forward::Routed;

/// Timings of the router.
#[derive(Clone, Copy, Debug)]
pub struct RouterSettings {
    /// How long a caller waits at most, all attempts together.
    pub deadline: Duration,
    /// Between two attempts, unless the directory changes before; doubled up to `retry_most`.
    pub retry: Duration,
    /// See `retry`.
    pub retry_most: Duration,
    /// Of the mirrors.
    pub mirror: MirrorSettings,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            // A takeover takes two or three seconds; past twice that something else is wrong.
            deadline: Duration::from_secs(8),
            retry: Duration::from_millis(2),
            retry_most: Duration::from_millis(50),
            mirror: MirrorSettings::default(),
        }
    }
}

/// What a router stands on.
pub struct RouterParts {
    /// This replica, as others reach it.
    pub me: Peer,
    /// Its actors.
    pub node: Arc<Node>,
    /// Who owns what.
    pub directory: Arc<Directory>,
    /// The way to others.
    pub links: Arc<dyn Links>,
    /// Its listeners; the same as the node's.
    pub hub: Arc<dyn LiveHub>,
}

/// See the module. Its [`trackops_cluster::link::Service`] is what the links serve.
pub struct Router {
    me: Peer,
    node: Arc<Node>,
    directory: Arc<Directory>,
    links: Arc<dyn Links>,
    hub: Arc<dyn LiveHub>,
    mirror: Arc<Mirror>,
    feeds: Arc<Feeds>,
    settings: RouterSettings,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Its incarnation has been deposed: nobody waits for what may follow.
    abandoned: CancellationToken,
    vital: Vital,
}

/// Who is to work on an order now.
enum Target {
    Here,
    /// This replica or nobody, as far as it knows; but its lease has run out, so that another may be by
    /// now.
    Perhaps,
    There(Owner),
    /// Nobody that is known.
    Nobody,
}

impl Router {
    /// Starts the task that keeps subscriptions with their owners.
    pub fn start(parts: RouterParts, settings: RouterSettings) -> Arc<Self> {
        let stop = CancellationToken::new();
        let router = Arc::new_cyclic(|itself: &Weak<Self>| Self {
            mirror: Mirror::new(
                Arc::clone(&parts.hub),
                Weak::clone(itself) as _,
                settings.mirror,
                stop.clone(),
            ),
            feeds: Feeds::new(
                Arc::clone(&parts.hub),
                Arc::clone(&parts.links),
                Arc::clone(&parts.directory),
                stop.clone(),
            ),
            me: parts.me,
            node: parts.node,
            directory: parts.directory,
            links: parts.links,
            hub: parts.hub,
            settings,
            tasks: TaskTracker::new(),
            stop,
            abandoned: CancellationToken::new(),
            vital: Vital::default(),
        });
        let weak: Weak<Self> = Arc::downgrade(&router);
        router.node.follow(weak);
        let keeping_up = watch::keep_up(
            Arc::downgrade(&router),
            router.directory.changes(),
            router.node.ownership().changes(),
            router.stop.clone(),
        );
        let guard = router.vital.guard("subscriptions", &router.stop);
        router.tasks.spawn(guard.over(keeping_up));
        router
    }

    /// What it can't do without.
    pub fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Ends its tasks. What is under way ends by itself.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// As [`Self::stop`]; and who waits for an owner is told to come again, because the next incarnation knows
    /// better.
    pub fn abandon(&self) {
        self.stop();
        self.abandoned.cancel();
    }

    /// Orders of other replicas that clients here watch; for tests and gauges.
    pub fn mirrored(&self) -> usize {
        self.mirror.mirrored()
    }

    /// Orders of this replica that clients of others watch; for tests and gauges.
    pub fn watched_by_others(&self) -> usize {
        self.feeds.watched()
    }

    fn shard_of(&self, order: OrderId) -> ShardId {
        self.node.ownership().shard_of(order)
    }

    fn target(&self, shard: ShardId) -> Target {
        let (standing, _) = self.node.ownership().standing(shard);
        let other = self
            .directory
            .owner(shard)
            .filter(|owner| !self.is_me(owner));
        match (standing, other) {
            (Standing::Free(_), Some(owner)) => Target::There(owner),
            // Others know better: this replica has been deposed and hasn't noticed.
            (mine, Some(owner)) if owner.epoch > mine.epoch() => Target::There(owner),
            _ if !self.node.ownership().lease_holds() => Target::Perhaps,
            (Standing::Free(_), None) => Target::Nobody,
            _ => Target::Here,
        }
    }

    fn is_me(&self, owner: &Owner) -> bool {
        owner.node == self.me.node && owner.incarnation == self.me.incarnation
    }

    /// An id for a new order, on a shard of this replica while its lease holds, or else on any that
    /// has another owner. Where all are on their way at this moment, on any: the request waits for it.
    fn draw_id(&self) -> Result<(OrderId, bool), OrdersError> {
        let holds = self.node.ownership().lease_holds();
        if holds && let Some(own) = self.node.draw_own_id() {
            return Ok((own, true));
        }
        let is_others = |shard| matches!(self.target(shard), Target::There(_));
        let others = self.node.draw_id(is_others);
        let drawn = others.or_else(|| self.node.draw_id(|_| holds));
        let drawn = drawn.map(|order| (order, false));
        drawn.ok_or(OrdersError::NotOwner)
    }
}

/// The answer to a request whose incarnation was deposed.
const ABANDONED: OrdersError = OrdersError::Unavailable {
    why: "this replica is coming back as a new incarnation",
    retry_after: Duration::from_secs(1),
};

/// The answer to a request that took too long.
const LATE: OrdersError = OrdersError::Unavailable {
    why: "no answer in time; the command may still happen",
    retry_after: Duration::from_secs(1),
};

#[async_trait]
impl Orders for Router {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        let deadline = Instant::now() + self.settings.deadline;
        let order = match (request.order(), &request) {
            (None, OrderRequest::Place(place)) => {
                let (order, is_own) = self.draw_id()?;
                if is_own {
                    match self.node.place_as(order, true, place.clone()).await {
                        // The shard is moving: the id stays, so that it can't become two orders.
                        Err(OrdersError::NotOwner | OrdersError::LeaseOver) => {}
                        decided => return decided.map(OrderAnswer::Done),
                    }
                }
                order
            }
            (None, _) => return Err(OrdersError::NotFound),
            (Some(order), _) => order,
        };
        let request = Request::Ask(order, request);
        match self.route(order, request, deadline).await? {
            Routed::Answered(Answer::Answered(answer), _) => Ok(answer),
            _ => Err(OrdersError::UNEXPECTED_ANSWER),
        }
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        session: Arc<dyn Session>,
    ) -> Result<Arc<Order>, OrdersError> {
        let deadline = Instant::now() + self.settings.deadline;
        let mut retry = self.retry(self.shard_of(order), deadline);
        loop {
            if matches!(self.target(self.shard_of(order)), Target::Here) {
                let session = Arc::clone(&session);
                match self.node.subscribe(order, since, session).await {
                    Err(OrdersError::NotOwner | OrdersError::LeaseOver) => {}
                    decided => {
                        if !matches!(self.target(self.shard_of(order)), Target::Here) {
                            // Lost while it was being attached: perhaps too late to be seen then.
                            self.mirror.cover(order);
                        }
                        return decided;
                    }
                }
            } else {
                let session = Arc::clone(&session);
                match self.mirror.subscribe(order, since, session).await? {
                    Subscribed::There(order) => return Ok(order),
                    Subscribed::Here => {}
                }
            }
            retry.pause().await?;
        }
    }
}
