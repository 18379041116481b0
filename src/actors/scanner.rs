//! The deadline scanner: one query for all shards of the replica wakes what is due, at a bounded
//! rate. No actor has to stay alive for its timer.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use trackops_domain::command::Command;
use trackops_domain::ids::CommandId;

use super::node::Node;
use crate::ports::journal::{Due, Journal};
use crate::ports::orders::{CommandRequest, Orders};

/// Wakes under way at once: enough to fill a batch of the writer, too few to crowd out clients.
const AT_ONCE: usize = 64;

/// Runs until `stop` is cancelled.
pub(super) async fn run(node: Arc<Node>, journal: Arc<dyn Journal>, stop: CancellationToken) {
    let context = Arc::clone(node.context());
    let mut timer = tokio::time::interval(context.settings.scan_every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        let owned = context.ownership.owned();
        if owned.is_empty() || !context.ownership.lease_holds() {
            continue;
        }
        match journal
            .due(
                &owned,
                context.clock.now(),
                context.settings.wakes_per_scan_max,
            )
            .await
        {
            Ok(due) => {
                stream::iter(due)
                    .for_each_concurrent(AT_ONCE, |due| wake(&node, due))
                    .await;
            }
            Err(error) => tracing::warn!(%error, "deadlines can't be looked up"),
        }
    }
}

async fn wake(node: &Node, due: Due) {
    let name = format!("deadline {}", due.deadline.0);
    let request = CommandRequest {
        order: due.order,
        id: CommandId(uuid::Uuid::new_v5(&due.order.0, name.as_bytes())),
        keyed: false,
        by: "deadline".into(),
        if_match: None,
        command: Command::DeadlineDue {
            deadline: due.deadline,
            request_unsent: due.request_unsent,
        },
        traceparent: None,
    };
    // A quarantined or busy order is looked at again in the next round.
    if let Err(error) = node.execute(request).await {
        tracing::debug!(order = %due.order, %error, "deadline not handled yet");
    }
}
