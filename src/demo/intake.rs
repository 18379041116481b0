//! Learns of orders from the bus: new orders, and every later status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use trackops_domain::status::Status;

use super::patience::Patience;
use super::schedule::Seen;
use crate::codec::messages::StatusUpdatedV1;
use crate::codec::view::OrderView;
use crate::model::topic::Topic;
use crate::ports::bus::{Bus, BusError, Consumer, InMessage, Polled, Subscription};

/// The shop's own consumer group.
const GROUP: &str = "trackops-demo";
/// Messages in one poll.
const POLL_MAX: usize = 200;
/// How long a poll without messages takes.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// Works until `stop` is cancelled, then leaves the group.
pub async fn work(bus: Arc<dyn Bus>, inbox: Sender<Seen>, stop: &CancellationToken) {
    let mut patience = Patience::default();
    loop {
        let subscribed = stop
            .run_until_cancelled(bus.subscribe(subscription()))
            .await;
        let pause = match subscribed {
            None => return,
            Some(Err(error)) => patience.failed("subscribing to the bus", &error),
            Some(Ok(mut consumer)) => {
                let consuming = consume(&mut *consumer, &inbox, &mut patience);
                let ended = stop.run_until_cancelled(consuming).await;
                consumer.close().await;
                match ended {
                    None | Some(Ok(())) => return,
                    Some(Err(error)) => patience.failed("reading the bus", &error),
                }
            }
        };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

fn subscription() -> Subscription {
    Subscription {
        group: GROUP.into(),
        topics: vec![
            Topic::OrderCreated.as_str().into(),
            Topic::OrderStatusUpdated.as_str().into(),
        ],
        member: GROUP.into(),
    }
}

/// Reads messages until the inbox is closed; other ends are errors.
async fn consume(
    consumer: &mut dyn Consumer,
    inbox: &Sender<Seen>,
    patience: &mut Patience,
) -> Result<(), BusError> {
    loop {
        let Polled::Messages(messages) = consumer.poll(POLL_MAX, POLL_TIMEOUT).await? else {
            // No message of a revoked partition is still being handled, so there is nothing to finish.
            continue;
        };
        let mut next = BTreeMap::new();
        for message in &messages {
            if let Some(seen) = read(message)
                && inbox.send(seen).await.is_err()
            {
                return Ok(());
            }
            next.insert(
                (Arc::clone(&message.topic), message.partition),
                message.offset + 1,
            );
        }
        if !next.is_empty() {
            let next: Vec<_> = next
                .into_iter()
                .map(|((t, p), offset)| (t, p, offset))
                .collect();
            consumer.commit(&next).await?;
        }
        patience.worked();
    }
}

/// Reads a message about an order; `None` for an unreadable one, which other consumers park.
fn read(message: &InMessage) -> Option<Seen> {
    let payload = message.payload.as_deref()?;
    match Topic::parse(&message.topic)? {
        Topic::OrderCreated => {
            let view: OrderView = serde_json::from_slice(payload).ok()?;
            Seen::of_view(&view)
        }
        Topic::OrderStatusUpdated => {
            let update: StatusUpdatedV1 = serde_json::from_slice(payload).ok()?;
            Some(Seen {
                id: update.order_id,
                status: Status::parse(&update.status)?,
                version: update.version,
                to: None,
            })
        }
        _ => None,
    }
}
