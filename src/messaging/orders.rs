//! The order service's consumer: turns inventory's replies and fulfilment's progress into commands to
//! orders. Leaves the consumer loop to [`super::runner`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::CourierId;
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

/// The topics that it consumes.
pub const TOPICS: [Topic; 4] = [
    Topic::InventoryReserved,
    Topic::InventoryReservationFailed,
    Topic::InventoryReleased,
    Topic::FulfillmentUpdates,
];

/// The code of messages that were parked because their order was in quarantine. They are sent again when
/// the order is released.
pub const QUARANTINED: &str = "quarantined";

/// The most characters of the name of a reporter.
const BY_CHARS_MAX: usize = 64;

/// How far ahead of this replica's clock a report's time may be, because clocks differ.
const AHEAD_MAX: Duration = Duration::from_secs(30);

/// The most commands in flight: enough to share one commit of the journal.
const IN_FLIGHT_MAX: usize = 256;

/// The pause between two polls. It costs one message a few milliseconds and saves a commit for several.
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
    /// A handler for `orders`. It checks the times of reports against `clock`.
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

    /// The order's id, even if the sender sets no key.
    fn queue_key(&self, message: &InMessage) -> Option<Bytes> {
        message.key.clone().or_else(|| {
            let order = envelope::order_of(message)?;
            Some(order.to_string().into())
        })
    }
}

/// The command in a message that is read at `now`, with its order.
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
        // A name with a colon in it would look like a caller of the API.
        caller: Caller::Internal(by.replace(':', "-").into()),
        if_match: None,
        command,
        traceparent: Some(envelope::traceparent(message)),
    })
}

fn refusal(fields: &Fields) -> Result<Box<str>, Reason> {
    // Inventory names every item that is short. The reason that people see is cut to the length that an
    // order keeps.
    let reason = fields.optional_text("reason", 64 * 1024)?;
    let shown = reason.unwrap_or("out of stock").chars();
    let shown: String = shown.take(limits::REASON_CHARS_MAX).collect();
    Ok(shown.into())
}

fn progress(fields: &Fields, now: Timestamp) -> Result<(&str, Command), Reason> {
    // The time is only checked: a report from the future can't be true and isn't acted on. A report may
    // be old, because the bus keeps reports while nobody reads them.
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
            Command::Advance {
                to: step,
                courier: courier(fields, step)?,
            }
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

/// The courier that a report of `step` names. A step that can have none ignores the field: what was done stays
/// done.
fn courier(fields: &Fields, step: Status) -> Result<Option<CourierId>, Reason> {
    if !step.may_name_courier() {
        return Ok(None);
    }
    let name = fields.optional_text("courierId", CourierId::BYTES_MAX)?;
    let parse = |name| {
        let detail = "courierId must be 1 to 64 visible ASCII characters";
        CourierId::parse(name).ok_or_else(|| malformed(detail))
    };
    name.map(parse).transpose()
}

fn verdict(error: &OrdersError) -> HandlerOutcome {
    match error {
        OrdersError::NotFound | OrdersError::Hidden => {
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
        // Only the owner of one shard can't be found or can't answer now, so the messages of other shards
        // go on.
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
        | OrdersError::Forbidden { .. }
        | OrdersError::KeyReused
        | OrdersError::NotInTransit { .. } => {
            HandlerOutcome::DeadLetter(Reason::new("unexpected", error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_769_860_800_000);

    /// The command in a report with `fields`.
    fn read(fields: &str) -> Result<Command, Reason> {
        let id = uuid::Uuid::from_u128(7);
        let payload = format!(r#"{{"orderId":"{id}",{fields}}}"#);
        let message = InMessage {
            topic: Topic::FulfillmentUpdates.as_str().into(),
            partition: 0,
            offset: 0,
            key: None,
            headers: std::collections::BTreeMap::default(),
            payload: Some(payload.into()),
            timestamp_ms: 0,
        };
        command_request(&message, NOW).map(|request| request.command)
    }

    #[test]
    fn a_report_names_the_courier_of_a_step_that_may_have_one() {
        let command = |status: &str, courier: &str| {
            read(&format!(r#""status":"{status}","courierId":{courier}"#))
        };
        for (name, to) in [
            ("PREPARING", Status::Preparing),
            ("IN_TRANSIT", Status::InTransit),
        ] {
            let courier = CourierId::parse("anna/7");
            let wanted = Command::Advance { to, courier };
            assert_eq!(command(name, r#""anna/7""#).expect("readable"), wanted);
            let nobody = command(name, "null").expect("readable");
            assert_eq!(nobody, Command::advance(to));
            let long = format!("\"{}\"", "x".repeat(65));
            for wrong in ["\"\"", r#""anna b""#, r#""ä""#, "7", &long] {
                let reason = command(name, wrong).expect_err(wrong);
                assert_eq!(reason.code, MALFORMED, "{reason:?}");
                assert!(reason.detail.starts_with("courierId "), "{reason:?}");
            }
        }
        let delivered = command("DELIVERED", r#""anna b""#).expect("readable");
        assert_eq!(delivered, Command::advance(Status::Delivered));
    }

    #[test]
    fn a_report_says_when_it_was_or_nothing() {
        let read = |at: &str| read(&format!(r#""status":"PREPARING","at":{at}"#));
        for at in [
            "null",
            r#""2026-01-31T12:00:00Z""#,
            r#""2026-01-31T12:00:29.999Z""#,
            r#""2026-01-24T13:00:00+01:00""#,
        ] {
            let command = read(at).unwrap_or_else(|reason| panic!("{at}: {reason:?}"));
            assert_eq!(command, Command::advance(Status::Preparing));
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
