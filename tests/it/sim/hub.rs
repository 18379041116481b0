//! A hub with a defect on purpose.

use std::sync::Arc;

use tokio::time::Instant;
use trackops::model::position::Position;
use trackops::ports::live::{LiveHub, LiveListener};
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::Mutation;

pub struct Defective {
    pub hub: Arc<dyn LiveHub>,
    pub mutation: Mutation,
}

impl LiveHub for Defective {
    fn attach(
        &self,
        listener: Arc<dyn LiveListener>,
        since: Option<Version>,
        order: &Arc<Order>,
        position: Option<Position>,
    ) {
        let since = since.filter(|_| self.mutation != Mutation::NoSince);
        self.hub.attach(listener, since, order, position);
    }

    fn detach(&self, order: OrderId, listener: u64) {
        self.hub.detach(order, listener);
    }

    fn publish(&self, order: &Arc<Order>, committed: Option<Instant>) {
        self.hub.publish(order, committed);
    }

    fn locate(&self, order: OrderId, position: Position) {
        self.hub.locate(order, position);
    }

    fn is_watched(&self, order: OrderId) -> bool {
        self.hub.is_watched(order)
    }

    fn watched(&self) -> Vec<OrderId> {
        match self.mutation {
            Mutation::NoCover => Vec::new(),
            _ => self.hub.watched(),
        }
    }
}
