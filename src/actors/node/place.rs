//! Placing: draws the new order's id so that it falls on a wanted shard, and has the order placed.

use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;

use super::metrics::count;
use super::running_node::Node;
use crate::actors::order::{OrderMessage, Start};
use crate::actors::weight;
use crate::model::order_answer::Done;
use crate::model::order_request::PlaceRequest;
use crate::model::orders_error::OrdersError;

/// Ids drawn at most until one falls on an owned shard; a few draws do if the replica owns a share worth
/// serving.
const DRAWS_MAX: u32 = 4_096;

impl Node {
    /// A new id on a shard for which `wanted` holds.
    pub fn draw_id(&self, wanted: impl Fn(ShardId) -> bool) -> Option<OrderId> {
        let mut draws = (0..DRAWS_MAX).map(|_| OrderId(self.context.clock.uuid_v7()));
        draws.find(|order| wanted(self.context.ownership.shard_of(*order)))
    }

    /// A new id on a shard that this replica owns and that takes new work.
    pub fn draw_own_id(&self) -> Option<OrderId> {
        if !self.shards.iter().any(|shard| shard.is_open()) {
            return None;
        }
        self.draw_id(|shard| self.shard(shard).is_open())
    }

    /// Places an order under an id that was drawn or derived elsewhere. `is_fresh`: nobody can have used the
    /// id.
    pub async fn place_as(
        &self,
        order: OrderId,
        is_fresh: bool,
        request: PlaceRequest,
    ) -> Result<Done, OrdersError> {
        let started = Instant::now();
        let start = if is_fresh {
            Start::Fresh
        } else {
            Start::Stored
        };
        let bytes = weight::content(&request.content);
        let request = Box::new(request);
        let result = self
            .request(order, start, bytes, |reply, permit| {
                OrderMessage::Place(request, reply, permit)
            })
            .await;
        count("place", started, &result);
        result
    }
}
