//! Counts and times the commands by how they ended.

use tokio::time::Instant;

use crate::model::orders_error::OrdersError;
use crate::telemetry::names;

/// `command` was answered with `result`.
pub(super) fn count<T>(command: &'static str, started: Instant, result: &Result<T, OrdersError>) {
    let outcome = match result {
        Ok(_) => "ok",
        Err(OrdersError::NotFound) => "not_found",
        Err(
            OrdersError::Rejected(_)
            | OrdersError::Hidden
            | OrdersError::Forbidden { .. }
            | OrdersError::PreconditionFailed { .. }
            | OrdersError::KeyReused
            | OrdersError::NotInTransit { .. },
        ) => "refused",
        Err(OrdersError::Quarantined) => "quarantined",
        Err(OrdersError::Broken { .. }) => "broken",
        Err(OrdersError::Restarted) => "restarted",
        Err(OrdersError::Overloaded { .. }) => "overloaded",
        Err(OrdersError::NotOwner) => "not_owner",
        Err(OrdersError::LeaseOver) => "lease_over",
        Err(OrdersError::Unavailable { .. } | OrdersError::OwnerUnavailable { .. }) => {
            "unavailable"
        }
    };
    metrics::counter!(names::ORDER_COMMANDS, "command" => command, "outcome" => outcome)
        .increment(1);
    metrics::histogram!(names::ORDER_COMMAND_DURATION, "command" => command)
        .record(started.elapsed());
}
