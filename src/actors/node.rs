//! One replica behind the port `Orders`: serves every order of the replica's own shards. The router knows
//! which replica an order belongs to.

mod handover;
mod metrics;
mod place;
mod reads;
mod routing;
mod running_node;
mod shut_down;
mod start;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use self::metrics::count;
pub use self::running_node::Node;
pub use self::start::Parts;
use super::order::{OrderMessage, Start};
use super::{errors, weight};
use crate::model::order_answer::{ActorReport, Done, OrderAnswer};
use crate::model::order_request::{CommandRequest, LocateRequest, OrderRequest, PlaceRequest};
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveListener;
use crate::ports::orders::Orders;

#[async_trait]
impl Orders for Node {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        Ok(match request {
            OrderRequest::Place(request) => OrderAnswer::Done(self.place_new(request).await?),
            OrderRequest::Execute(request) => OrderAnswer::Done(self.run(request).await?),
            OrderRequest::Read(order, caller) => {
                OrderAnswer::Read(self.read_for(&caller, order).await?)
            }
            OrderRequest::History(order, caller) => {
                OrderAnswer::History(self.history_for(&caller, order).await?)
            }
            OrderRequest::Locate(request) => OrderAnswer::Located {
                replayed: self.take_position(request).await?,
            },
            OrderRequest::Inspect(order) => OrderAnswer::Report(self.report(order).await?),
            OrderRequest::Release(order) => OrderAnswer::Released {
                was_quarantined: self.let_out(order).await?,
            },
        })
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.request(order, Start::Stored, 0, |reply, permit| {
            OrderMessage::Subscribe(listener, since, reply, permit)
        })
        .await
    }
}

impl Node {
    async fn place_new(&self, request: PlaceRequest) -> Result<Done, OrdersError> {
        if let Some(key) = request.key {
            return self.place_as(key.order, false, request).await;
        }
        let drawn = self.draw_own_id();
        let drawn = drawn.ok_or_else(|| errors::unavailable("this replica owns no shard"))?;
        self.place_as(drawn, true, request).await
    }

    async fn run(&self, request: CommandRequest) -> Result<Done, OrdersError> {
        self.check_seen(&request.caller, request.order).await?;
        let started = Instant::now();
        let (order, command) = (request.order, request.command.name());
        let bytes = weight::command(&request.command);
        let request = Box::new(request);
        let result = self
            .request(order, Start::Stored, bytes, |reply, permit| {
                OrderMessage::Execute(request, reply, permit)
            })
            .await;
        count(command, started, &result);
        result
    }

    async fn take_position(&self, request: LocateRequest) -> Result<bool, OrdersError> {
        let order = request.order;
        self.check_seen(&request.caller, order).await?;
        let request = Box::new(request);
        self.request(order, Start::Stored, 0, |reply, permit| {
            OrderMessage::Locate(request, reply, permit)
        })
        .await
    }

    async fn report(&self, order: OrderId) -> Result<ActorReport, OrdersError> {
        let shard = self.shard_of(order);
        let entered = self.enter_to_read(order).await?;
        let record = shard.failures.get(order);
        let entry = shard.peek_in(order, entered.tenure);
        let state = if record.as_ref().is_some_and(|record| record.quarantined) {
            "quarantined"
        } else if entry.is_some() {
            "live"
        } else if shard.is_restarting(order) {
            "restarting"
        } else {
            "passive"
        };
        let known = entry.as_ref().and_then(|entry| entry.order.load_full());
        if known.is_none() && record.is_none() {
            // Nothing in memory: checks that there is such an order at all.
            drop(entered);
            self.read_order(order).await?;
        }
        Ok(ActorReport {
            state,
            shard: shard.id.0,
            epoch: self
                .context
                .ownership
                .epoch(shard.id)
                .map_or(-1, |epoch| epoch.0),
            version: known.map(|order| order.version()),
            mailbox: entry.map_or(0, |entry| {
                entry.waiting.load(std::sync::atomic::Ordering::Relaxed)
            }),
            restarts: record.as_ref().map_or(0, super::failures::Record::count),
            last_error: record.map(|record| (record.last_error, record.last_at)),
        })
    }

    async fn let_out(&self, order: OrderId) -> Result<bool, OrdersError> {
        let shard = self.shard_of(order);
        drop(self.enter(order, 0).await?);
        let released = shard.failures.clear(order);
        if released {
            shard.forget(order);
            shard.wake(order, None)?;
        } else if shard.peek(order).is_none() {
            self.read_order(order).await?;
        }
        Ok(released)
    }
}
