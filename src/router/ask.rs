//! The router behind the port `Orders`: serves every order of the cluster.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::core::{Router, Target};
use super::forward::Routed;
use crate::codec::link::{Answer, Request};
use crate::live::mirror::Subscribed;
use crate::model::order_answer::OrderAnswer;
use crate::model::order_request::OrderRequest;
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveListener;
use crate::ports::orders::Orders;

impl Router {
    /// An id for a new order, on a shard of this replica while it answers for its shards, or else on a shard
    /// that has another owner. If every shard is being moved at this moment, on any shard: the request waits for the
    /// move. Also says whether the shard is this replica's.
    fn draw_id(&self) -> Result<(OrderId, bool), OrdersError> {
        let holds = self.node.answers();
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

#[async_trait]
impl Orders for Router {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        let deadline = Instant::now() + self.settings.deadline;
        let order = match (request.order(), &request) {
            (None, OrderRequest::Place(place)) => {
                let (order, is_own) = self.draw_id()?;
                if is_own {
                    match self.node.place_as(order, true, place.clone()).await {
                        // The shard is moving. The id stays the same, so that the request can't become two
                        // orders.
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
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        let deadline = Instant::now() + self.settings.deadline;
        let mut retry = self.retry(self.shard_of(order), deadline);
        loop {
            if matches!(self.target(self.shard_of(order)), Target::Here) {
                let listener = Arc::clone(&listener);
                match self.node.subscribe(order, since, listener).await {
                    Err(OrdersError::NotOwner | OrdersError::LeaseOver) => {}
                    decided => {
                        if !matches!(self.target(self.shard_of(order)), Target::Here) {
                            // The shard was lost while the listener was being attached, perhaps too late for
                            // the hub's walk to see it.
                            self.mirror.cover(order);
                        }
                        return decided;
                    }
                }
            } else {
                let listener = Arc::clone(&listener);
                match self.mirror.subscribe(order, since, listener).await? {
                    Subscribed::There(order) => return Ok(order),
                    Subscribed::Here => {}
                }
            }
            retry.pause().await?;
        }
    }
}
