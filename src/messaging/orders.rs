//! The order service's side of the bus: inventory's replies and fulfilment's progress become
//! commands to orders.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use trackops_domain::command::Command;
use trackops_domain::placed::limits;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::envelope::{self, Fields, MALFORMED, malformed};
use super::handler::{Handler, HandlerOutcome, Reason};
use super::runner::Runner;
use super::settings::RunnerSettings;
use crate::model::order_request::CommandRequest;
use crate::model::orders_error::OrdersError;
use crate::model::topic::Topic;
use crate::ports::bus::{Bus, InMessage, Subscription};
use crate::ports::clock::Clock;
use crate::ports::orders::{Orders, OrdersExt};

/// The consumer group.
pub const GROUP: &str = "trackops-orders";

/// What it consumes.
pub const TOPICS: [Topic; 4] = [
    Topic::InventoryReserved,
    Topic::InventoryReservationFailed,
    Topic::InventoryReleased,
    Topic::FulfillmentUpdates,
];

/// Code of messages parked because their order was in quarantine; they are sent again when it is
/// released.
pub const QUARANTINED: &str = "quarantined";

/// Characters of the name of who reports progress.
const BY_CHARS_MAX: usize = 64;

/// How far ahead of this replica's clock a report may have been made: clocks differ.
const AHEAD_MAX: Duration = Duration::from_secs(30);

/// Commands under way at once: enough of them ride in one commit of the journal.
const IN_FLIGHT_MAX: usize = 256;

/// Between two polls: a few milliseconds more for one message are a commit less for several.
const GATHER: Duration = Duration::from_millis(5);

/// The consumer, ready to run. `member` is this replica's name in the group.
pub fn runner(
    bus: Arc<dyn Bus>,
    orders: Arc<dyn Orders>,
    clock: Arc<dyn Clock>,
    member: &str,
) -> Runner {
    let subscription = Subscription {
        group: GROUP.into(),
        topics: TOPICS.iter().map(|topic| topic.as_str().into()).collect(),
        member: member.into(),
    };
    let settings = RunnerSettings {
        batch_max: 1,
        in_flight_max: IN_FLIGHT_MAX,
        gather: GATHER,
    };
    Runner::new(
        bus,
        subscription,
        Arc::new(OrderHandler::new(orders, Arc::clone(&clock))),
        settings,
        clock,
    )
}

/// Turns messages into commands.
pub struct OrderHandler {
    orders: Arc<dyn Orders>,
    clock: Arc<dyn Clock>,
}

impl OrderHandler {
    /// For these orders; what is said to have happened is looked at by `clock`.
    pub fn new(orders: Arc<dyn Orders>, clock: Arc<dyn Clock>) -> Self {
        Self { orders, clock }
    }

    async fn handle_one(&self, message: &InMessage) -> HandlerOutcome {
        let request = match command_request(message, self.clock.now()) {
            Ok(request) => request,
            Err(reason) => return HandlerOutcome::DeadLetter(reason),
        };
        match self.orders.execute(request).await {
            Ok(_) => HandlerOutcome::Done,
            Err(error) => verdict(&error),
        }
    }
}

#[async_trait]
impl Handler for OrderHandler {
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome> {
        futures_util::future::join_all(batch.iter().map(|message| self.handle_one(message))).await
    }

    /// By order, also where a sender sets no key.
    fn queue_key(&self, message: &InMessage) -> Option<Bytes> {
        message.key.clone().or_else(|| {
            let order = envelope::order_of(message)?;
            Some(order.to_string().into())
        })
    }
}

/// What a message that is read at `now` asks of which order.
pub fn command_request(message: &InMessage, now: Timestamp) -> Result<CommandRequest, Reason> {
    let topic = Topic::parse(&message.topic)
        .ok_or_else(|| Reason::new("unknown-topic", "no command belongs to this topic"))?;
    let fields = Fields::of(message)?;
    let order = fields.order("orderId", message)?;
    let (by, command) = match topic {
        Topic::InventoryReserved => ("inventory", Command::StockReserved),
        Topic::InventoryReservationFailed => {
            let reason = refusal(&fields)?;
            ("inventory", Command::StockRefused { reason })
        }
        Topic::InventoryReleased => ("inventory", Command::StockReleased),
        Topic::FulfillmentUpdates => progress(&fields, now)?,
        _ => {
            let detail = "no command belongs to this topic";
            return Err(Reason::new("unknown-topic", detail));
        }
    };
    Ok(CommandRequest {
        order,
        id: envelope::command_id(order, message),
        keyed: false,
        by: by.into(),
        if_match: None,
        command,
        traceparent: Some(envelope::traceparent(message)),
    })
}

fn refusal(fields: &Fields) -> Result<Box<str>, Reason> {
    // Inventory names every item that is short; what people are shown is cut to what an order keeps.
    let reason = fields.optional_text("reason", 64 * 1024)?;
    let shown = reason.unwrap_or("out of stock").chars();
    let shown: String = shown.take(limits::REASON_CHARS_MAX).collect();
    Ok(shown.into())
}

fn progress(fields: &Fields, now: Timestamp) -> Result<(&str, Command), Reason> {
    // Nothing is done with it, but a report that can't be true is not acted on. It may be old: the bus
    // keeps what was reported while nobody read.
    if let Some(at) = fields.optional_time("at")?
        && at > now.plus(AHEAD_MAX)
    {
        let seconds = AHEAD_MAX.as_secs();
        return Err(malformed(format!("at is more than {seconds} s ahead")));
    }
    let by = fields.optional_text("by", BY_CHARS_MAX)?;
    let by = by.unwrap_or("fulfilment");
    let name = fields.text("status", 64)?;
    let command = match Status::parse(name) {
        Some(step @ (Status::Preparing | Status::InTransit | Status::Delivered)) => {
            Command::Advance(step)
        }
        Some(Status::Cancelled) => Command::Cancel {
            reason: format!("cancelled by {by}").into(),
        },
        Some(Status::Pending | Status::Confirmed | Status::Rejected) => {
            return Err(malformed(format!(
                "status {name} is not for fulfilment to set"
            )));
        }
        None => return Err(Reason::new(MALFORMED, format!("status {name} is unknown"))),
    };
    Ok((by, command))
}

fn verdict(error: &OrdersError) -> HandlerOutcome {
    match error {
        OrdersError::NotFound => {
            HandlerOutcome::DeadLetter(Reason::new("unknown-order", "no such order"))
        }
        OrdersError::Rejected(rejection) if rejection.may_come() => {
            HandlerOutcome::RetryLater(Reason::new("too-early", rejection.to_string()))
        }
        OrdersError::Rejected(rejection) if rejection.current.is_final() => {
            HandlerOutcome::Drop("final-order")
        }
        OrdersError::Rejected(_) => HandlerOutcome::Drop("earlier-step"),
        OrdersError::Quarantined => {
            HandlerOutcome::DeadLetter(Reason::new(QUARANTINED, error.to_string()))
        }
        // One shard's owner can't be found or can't answer just now: no reason to stop the others.
        OrdersError::Restarted
        | OrdersError::Overloaded { .. }
        | OrdersError::NotOwner
        | OrdersError::LeaseOver
        | OrdersError::OwnerUnavailable { .. } => {
            HandlerOutcome::Busy(Reason::new("busy", error.to_string()))
        }
        OrdersError::Broken { why } => {
            HandlerOutcome::DeadLetter(Reason::new("broken-order", *why))
        }
        OrdersError::Unavailable { why, .. } => HandlerOutcome::DependencyDown((*why).into()),
        OrdersError::PreconditionFailed { .. }
        | OrdersError::KeyReused
        | OrdersError::NotInTransit { .. } => {
            HandlerOutcome::DeadLetter(Reason::new("unexpected", error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_when_it_was_or_nothing() {
        let now = Timestamp(1_769_860_800_000);
        let read = |at: &str| {
            let id = uuid::Uuid::from_u128(7);
            let payload = format!(r#"{{"orderId":"{id}","status":"PREPARING","at":{at}}}"#);
            let message = InMessage {
                topic: Topic::FulfillmentUpdates.as_str().into(),
                partition: 0,
                offset: 0,
                key: None,
                headers: std::collections::BTreeMap::default(),
                payload: Some(payload.into()),
                timestamp_ms: 0,
            };
            command_request(&message, now).map(|request| request.command)
        };
        for at in [
            "null",
            r#""2026-01-31T12:00:00Z""#,
            r#""2026-01-31T12:00:29.999Z""#,
            r#""2026-01-24T13:00:00+01:00""#,
        ] {
            let command = read(at).unwrap_or_else(|reason| panic!("{at}: {reason:?}"));
            assert_eq!(command, Command::Advance(Status::Preparing));
        }
        for at in [
            "1769860800000",
            r#""noon""#,
            r#""0000-01-01T00:00:00+23:59""#,
            r#""2026-01-31T12:00:31Z""#,
            r#""2099-01-01T00:00:00Z""#,
        ] {
            let reason = read(at).expect_err(at);
            assert_eq!(reason.code, MALFORMED, "{reason:?}");
            assert!(reason.detail.starts_with("at "), "{reason:?}");
        }
    }

    #[test]
    fn one_owner_that_is_not_available_stops_nobody_elses_messages() {
        let (why, retry_after) = ("it rains there", Duration::from_secs(1));
        let there = verdict(&OrdersError::OwnerUnavailable { why, retry_after });
        assert!(matches!(there, HandlerOutcome::Busy(_)), "{there:?}");
        let here = verdict(&OrdersError::Unavailable { why, retry_after });
        assert!(
            matches!(here, HandlerOutcome::DependencyDown(_)),
            "{here:?}"
        );
    }
}
