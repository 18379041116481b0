//! Kitchens and couriers: they publish their steps on the bus, and couriers send their positions by REST.
//! Leaves the timing to [`Schedule`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::patience::Patience;
use super::rest::{Rest, is_trouble};
use super::schedule::{Schedule, Seen, Step};
use crate::codec::messages::FulfillmentUpdateV1;
use crate::codec::rfc3339;
use crate::model::topic::Topic;
use crate::ports::bus::{Bus, OutMessage, PublishError};
use crate::ports::clock::{Clock as _, SystemClock};

/// The most steps published at once.
const STEPS_MAX: usize = 100;
/// How often couriers send their position: a dot on a map should move.
const PING_EVERY: Duration = Duration::from_secs(1);
/// The most couriers that send their position: enough for a map, and few requests a second.
const RIDERS_MAX: usize = 25;
/// The longest wait before the next look when nothing is due.
const IDLE: Duration = Duration::from_secs(60);
/// How long a publish may take; after that the steps are published again later.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs until the inbox is closed.
pub async fn work(
    rest: Arc<dyn Rest>,
    bus: Arc<dyn Bus>,
    mut inbox: Receiver<Seen>,
    mut schedule: Schedule,
) {
    let mut telling = Patience::default();
    let mut riding = Patience::default();
    let mut quiet_until = Instant::now();
    let mut pings = JoinSet::new();
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tell_from = Instant::now();
    loop {
        let due = schedule.next_due().unwrap_or(Instant::now() + IDLE);
        tokio::select! {
            seen = inbox.recv() => {
                // All senders have ended: the shop closes.
                let Some(seen) = seen else { return };
                schedule.see(seen, Instant::now());
            }
            () = sleep_until(due.max(tell_from)) => {
                let steps = schedule.take_due(Instant::now(), STEPS_MAX);
                if let Err((untold, error)) = tell(&*bus, steps).await {
                    tell_from = Instant::now() + telling.failed("telling of a step", &error);
                    schedule.put_back(&untold, tell_from);
                } else {
                    telling.worked();
                }
            }
            _ = ping.tick() => {
                // Positions are soon out of date: they are not sent while the last ones are unanswered.
                if pings.is_empty() && Instant::now() >= quiet_until {
                    for (order, at) in schedule.riders(Instant::now(), RIDERS_MAX) {
                        let rest = Arc::clone(&rest);
                        pings.spawn(async move { rest.locate(order, at).await });
                    }
                }
            }
            Some(answered) = pings.join_next() => match answered {
                // One failure counts for all requests that were sent together.
                Ok(Err(_)) if Instant::now() < quiet_until => {}
                Ok(Err(error)) if is_trouble(&error) => {
                    quiet_until = Instant::now() + riding.failed("telling a position", &error);
                }
                // An order that is no longer on its way refuses a position, as it should.
                Ok(Ok(()) | Err(_)) => riding.worked(),
                Err(error) => tracing::warn!(error = %error, "demo: a courier fell"),
            }
        }
    }
}

/// Publishes steps; returns those that were not published, with the first error.
async fn tell(bus: &dyn Bus, steps: Vec<Step>) -> Result<(), (Vec<Step>, String)> {
    if steps.is_empty() {
        return Ok(());
    }
    let now = SystemClock.now();
    let messages = steps.iter().map(|step| message(step, now)).collect();
    let Ok(told) = timeout(PUBLISH_TIMEOUT, bus.publish(messages)).await else {
        return Err((steps, "the bus doesn't answer".into()));
    };
    let mut untold = Vec::new();
    let mut reason = None;
    for (step, result) in steps.into_iter().zip(told) {
        match result {
            // A step that the bus refuses for good counts as published.
            Ok(()) | Err(PublishError::Refused(_)) => {}
            Err(error) => {
                untold.push(step);
                reason.get_or_insert(error.to_string());
            }
        }
    }
    reason.map_or(Ok(()), |reason| Err((untold, reason)))
}

fn message(step: &Step, now: Timestamp) -> OutMessage {
    let topic = Topic::FulfillmentUpdates.as_str();
    let number = step.id.as_bytes()[15] % 5 + 1;
    let (place, by) = match step.status {
        Status::Preparing => ("kitchen", format!("kitchen-{number}")),
        _ => ("courier", format!("courier-{number}")),
    };
    let order = step.id.as_hyphenated().to_string();
    let time = rfc3339::format(now);
    let body = FulfillmentUpdateV1 {
        order_id: step.id,
        status: step.status.as_str().into(),
        at: Some(time.clone()),
        by: Some(by),
    };
    OutMessage {
        topic: topic.into(),
        key: order.as_str().into(),
        headers: vec![
            ("ce_id", step.message.to_string()),
            ("ce_source", format!("/demo/{place}")),
            ("ce_specversion", "1.0".into()),
            ("ce_type", topic.into()),
            ("ce_subject", order),
            ("ce_time", time),
            ("ce_dataschema", format!("/schemas/{topic}/v1")),
            ("content-type", "application/json".into()),
        ],
        // Writing plain strings to memory has no way to fail.
        payload: serde_json::to_vec(&body).unwrap_or_default().into(),
    }
}
