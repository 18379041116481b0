//! A hub with a defect on purpose: it forgets what a listener says that it has had.

use std::sync::Arc;

use tokio::time::Instant;
use trackops::live::hub::Hub;
use trackops::ports::cache::Position;
use trackops::ports::live::{LiveHub, Session};
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

pub struct Forgetful(pub Arc<Hub>);

impl LiveHub for Forgetful {
    fn attach(
        &self,
        session: Arc<dyn Session>,
        _since: Option<Version>,
        order: &Arc<Order>,
        position: Option<Position>,
    ) {
        self.0.attach(session, None, order, position);
    }

    fn detach(&self, order: OrderId, session: u64) {
        self.0.detach(order, session);
    }

    fn publish(&self, order: &Arc<Order>, committed: Option<Instant>) {
        self.0.publish(order, committed);
    }

    fn locate(&self, order: OrderId, position: Position) {
        self.0.locate(order, position);
    }

    fn is_watched(&self, order: OrderId) -> bool {
        self.0.is_watched(order)
    }

    fn watched(&self) -> Vec<OrderId> {
        self.0.watched()
    }
}
