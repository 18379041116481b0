//! The supervisors: one for each shard's orders, and one for the shards. They restart what has failed;
//! `failures.rs` decides when an order has failed too often.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use trackops_domain::ids::OrderId;

use super::failures::FailureAction;
use super::shard::Shard;
use crate::telemetry::names;

/// Supervises the orders of one shard.
pub struct ShardSupervisor;

/// A message to a shard supervisor.
pub enum ShardMessage {
    /// The backoff of a failed order is over.
    Restart(OrderId),
}

impl Actor for ShardSupervisor {
    type Msg = ShardMessage;
    type State = Arc<Shard>;
    type Arguments = Arc<Shard>;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        shard: Arc<Shard>,
    ) -> Result<Arc<Shard>, ActorProcessingErr> {
        shard.supervise(Some(myself.get_cell()));
        Ok(shard)
    }

    async fn handle(
        &self,
        _myself: ActorRef<ShardMessage>,
        ShardMessage::Restart(order): ShardMessage,
        shard: &mut Arc<Shard>,
    ) -> Result<(), ActorProcessingErr> {
        shard.forget(order);
        // Nobody waits for it: after a refusal (too much to do) the next command wakes the order.
        if let Err(error) = shard.wake(order, None) {
            tracing::debug!(%order, %error, "failed order not woken");
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ShardMessage>,
        event: SupervisionEvent,
        shard: &mut Arc<Shard>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(cell, error) = event {
            let error = error.to_string();
            if let Some(order) = shard.failed(&cell) {
                order_failed(&myself, shard, order, &error);
            }
        }
        Ok(())
    }
}

fn order_failed(myself: &ActorRef<ShardMessage>, shard: &Arc<Shard>, order: OrderId, error: &str) {
    metrics::counter!(names::ACTOR_RESTARTS).increment(1);
    match shard
        .failures
        .record(order, error, shard.context.clock.now())
    {
        FailureAction::Restart(after) if after.is_zero() => {
            tracing::error!(%order, error, "order failed: starting again");
            // An error means that this supervisor is ending, and its orders with it.
            drop(myself.cast(ShardMessage::Restart(order)));
        }
        FailureAction::Restart(after) => {
            tracing::error!(%order, error, ?after, "order failed: starting again after a while");
            drop(myself.send_after(after, move || ShardMessage::Restart(order)));
        }
        FailureAction::Quarantine => {
            tracing::error!(%order, error, "order failed again and again: quarantined");
            shard.forget(order);
        }
    }
}

/// Supervises the shards.
pub struct NodeSupervisor;

/// The shards and the supervisor of each.
pub struct Supervised {
    shards: Vec<(ActorCell, Arc<Shard>)>,
}

impl Actor for NodeSupervisor {
    type Msg = ();
    type State = Supervised;
    type Arguments = Vec<Arc<Shard>>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        shards: Vec<Arc<Shard>>,
    ) -> Result<Supervised, ActorProcessingErr> {
        let mut supervised = Vec::with_capacity(shards.len());
        for shard in shards {
            let (supervisor, _) =
                Actor::spawn_linked(None, ShardSupervisor, Arc::clone(&shard), myself.get_cell())
                    .await?;
            supervised.push((supervisor.get_cell(), shard));
        }
        Ok(Supervised { shards: supervised })
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut Supervised,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(cell, error) = event else {
            return Ok(());
        };
        let failed = state
            .shards
            .iter_mut()
            .find(|(supervisor, _)| supervisor.get_id() == cell.get_id());
        if let Some((supervisor, shard)) = failed {
            tracing::error!(shard = %shard.id, %error, "shard supervisor failed: starting again");
            // Its orders ended with it; each starts again at its next message.
            shard.supervise(None);
            let (again, _) =
                Actor::spawn_linked(None, ShardSupervisor, Arc::clone(shard), myself.get_cell())
                    .await?;
            *supervisor = again.get_cell();
        }
        Ok(())
    }
}
