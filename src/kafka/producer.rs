//! Publishing: every message is awaited until the broker has acknowledged it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::acknowledged::Acknowledged;
use super::client::Client;
use super::context::Logged;
use super::convert;
use crate::ports::bus::{BusError, PublishError, RawMessage};

/// How often a full local queue is looked at again, and how far apart: together as long as a
/// message may wait for its acknowledgement, so the queue must have moved by then.
const QUEUE_FULL_TRIES: u32 = 1000;
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

type Native = FutureProducer<Logged>;

/// The idempotent producer, made anew after an error that ends it, or once the broker has taken a
/// message of it for another.
pub(super) struct Producer {
    client: Client,
    life: ArcSwap<Life>,
}

/// One producer of librdkafka's.
struct Life {
    native: Native,
    acknowledged: Acknowledged,
    /// The broker and it no longer agree on what was written.
    is_mistaken: AtomicBool,
}

impl Producer {
    pub(super) fn new(client: Client) -> Result<Self, BusError> {
        let life = Life::begin(&client).map_err(|error| BusError(Box::new(error)))?;
        Ok(Self {
            client,
            life: ArcSwap::from_pointee(life),
        })
    }

    /// Publishes in order; the results are in the order given.
    pub(super) async fn publish(&self, messages: Vec<RawMessage>) -> Vec<Result<(), PublishError>> {
        let life = self.life.load_full();
        let mut results = self.send_all(&life, &messages).await;
        if messages.len() > 1 {
            // A broker that finds a request too large refuses all of it. Alone, only the culprit is.
            for (message, result) in messages.iter().zip(&mut results) {
                if matches!(result, Err(Failed::ByBroker(error)) if too_large(error)) {
                    *result = self
                        .send_all(&life, std::slice::from_ref(message))
                        .await
                        .remove(0);
                }
            }
        }
        if results.iter().any(Result::is_err) {
            self.replace_if_dead(&life);
        }
        results
            .into_iter()
            .map(|result| result.map_err(Failed::into_publish_error))
            .collect()
    }

    async fn send_all(&self, life: &Life, messages: &[RawMessage]) -> Vec<Result<(), Failed>> {
        let mut results: Vec<Result<(), Failed>> = Vec::with_capacity(messages.len());
        let mut waiting: VecDeque<(usize, DeliveryFuture)> = VecDeque::new();
        for (index, message) in messages.iter().enumerate() {
            // Stands until the delivery is known; a producer that goes away leaves it so.
            results.push(Err(Failed::ByBroker(KafkaError::Canceled)));
            let mut tries = 0;
            loop {
                match self.enqueue(&life.native, message) {
                    Ok(delivery) => {
                        waiting.push_back((index, delivery));
                        break;
                    }
                    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
                        if tries < QUEUE_FULL_TRIES =>
                    {
                        match waiting.pop_front() {
                            Some((earlier, delivery)) => {
                                results[earlier] =
                                    life.delivered(&messages[earlier], delivery).await;
                            }
                            // Full of others' messages.
                            None => tokio::time::sleep(QUEUE_FULL_PAUSE).await,
                        }
                        tries += 1;
                    }
                    Err(error) => {
                        results[index] = Err(Failed::AtOnce(error));
                        break;
                    }
                }
            }
        }
        for (index, delivery) in waiting {
            results[index] = life.delivered(&messages[index], delivery).await;
        }
        results
    }

    fn enqueue(&self, native: &Native, message: &RawMessage) -> Result<DeliveryFuture, KafkaError> {
        let topic = self.client.prefixed(&message.topic);
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(convert::headers(message));
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        native.send_result(record).map_err(|(error, _)| error)
    }

    /// A fatal error ends a producer for good; what it had is reported failed, and the next call
    /// gets another one. So does one whose numbers the broker takes for others.
    fn replace_if_dead(&self, used: &Arc<Life>) {
        let why = match used.native.client().fatal_error() {
            Some((code, reason)) => format!("{code}: {reason}"),
            None if used.is_mistaken.load(Ordering::Relaxed) => {
                "the broker took a message for an earlier one".to_owned()
            }
            None => return,
        };
        match Life::begin(&self.client) {
            Ok(fresh) => {
                tracing::error!(why, "producer ended, made anew");
                let previous = self.life.compare_and_swap(used, Arc::new(fresh));
                let previous = arc_swap::Guard::into_inner(previous);
                // Dropping the last reference joins a thread.
                std::thread::spawn(move || drop(previous));
            }
            Err(error) => tracing::error!(%error, "producer could not be made anew"),
        }
    }
}

impl Life {
    fn begin(client: &Client) -> Result<Self, KafkaError> {
        Ok(Self {
            native: client.producer_config().create_with_context(Logged)?,
            acknowledged: Acknowledged::default(),
            is_mistaken: AtomicBool::new(false),
        })
    }

    /// Waits for the broker's word, and believes it if it names a place that no other message has.
    async fn delivered(
        &self,
        message: &RawMessage,
        delivery: DeliveryFuture,
    ) -> Result<(), Failed> {
        match delivery.await {
            Ok(Ok(at))
                if self
                    .acknowledged
                    .note(&message.topic, at.partition, at.offset) =>
            {
                Ok(())
            }
            Ok(Ok(at)) => {
                let (partition, offset) = (at.partition, at.offset);
                tracing::error!(topic = %message.topic, partition, offset, "acknowledged, but not written");
                self.is_mistaken.store(true, Ordering::Relaxed);
                let code = RDKafkaErrorCode::DuplicateSequenceNumber;
                Err(Failed::ByBroker(KafkaError::MessageProduction(code)))
            }
            Ok(Err((error, _))) => Err(Failed::ByBroker(error)),
            Err(_canceled) => Err(Failed::ByBroker(KafkaError::Canceled)),
        }
    }
}

/// Why a message was not published, and who said so.
#[derive(Debug)]
enum Failed {
    /// librdkafka, before it took the message.
    AtOnce(KafkaError),
    /// The broker, or librdkafka after it had waited for the broker.
    ByBroker(KafkaError),
}

impl Failed {
    fn into_publish_error(self) -> PublishError {
        let (Self::AtOnce(error) | Self::ByBroker(error)) = self;
        if is_permanent(&error) {
            PublishError::Refused(Box::new(error))
        } else {
            PublishError::Unavailable(Box::new(error))
        }
    }
}

fn too_large(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageProduction(
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge
        )
    )
}

/// Whether the same message will be refused for ever. A missing topic is not: it can be created.
fn is_permanent(error: &KafkaError) -> bool {
    too_large(error)
        || matches!(
            error,
            KafkaError::MessageProduction(
                RDKafkaErrorCode::InvalidMessageSize
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::PolicyViolation
            ) | KafkaError::Nul(_)
        )
}
