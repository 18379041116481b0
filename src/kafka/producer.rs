//! Publishing: every message is awaited until the broker has acknowledged it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::client::Client;
use super::context::Logged;
use super::convert;
use crate::ports::bus::{BusError, PublishError, RawMessage};

/// How often a full local queue is looked at again, and how far apart: together as long as a
/// message may wait for its acknowledgement, so the queue must have moved by then.
const QUEUE_FULL_TRIES: u32 = 1000;
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

type Native = FutureProducer<Logged>;

/// The idempotent producer, made anew after an error that ends it.
pub(super) struct Producer {
    client: Client,
    native: ArcSwap<Native>,
}

impl Producer {
    pub(super) fn new(client: Client) -> Result<Self, BusError> {
        let native = create(&client).map_err(|error| BusError(Box::new(error)))?;
        Ok(Self {
            client,
            native: ArcSwap::from_pointee(native),
        })
    }

    /// Publishes in order; the results are in the order given.
    pub(super) async fn publish(&self, messages: Vec<RawMessage>) -> Vec<Result<(), PublishError>> {
        let native = self.native.load_full();
        let mut results = self.send_all(&native, &messages).await;
        if messages.len() > 1 {
            // A broker that finds a request too large refuses all of it. Alone, only the culprit is.
            for (message, result) in messages.iter().zip(&mut results) {
                if matches!(result, Err(Failed::ByBroker(error)) if too_large(error)) {
                    *result = self
                        .send_all(&native, std::slice::from_ref(message))
                        .await
                        .remove(0);
                }
            }
        }
        if results.iter().any(Result::is_err) {
            self.replace_if_dead(&native);
        }
        results
            .into_iter()
            .map(|result| result.map_err(Failed::into_publish_error))
            .collect()
    }

    async fn send_all(&self, native: &Native, messages: &[RawMessage]) -> Vec<Result<(), Failed>> {
        let mut results: Vec<Result<(), Failed>> = Vec::with_capacity(messages.len());
        let mut waiting: VecDeque<(usize, DeliveryFuture)> = VecDeque::new();
        for (index, message) in messages.iter().enumerate() {
            // Stands until the delivery is known; a producer that goes away leaves it so.
            results.push(Err(Failed::ByBroker(KafkaError::Canceled)));
            let mut tries = 0;
            loop {
                match self.enqueue(native, message) {
                    Ok(delivery) => {
                        waiting.push_back((index, delivery));
                        break;
                    }
                    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
                        if tries < QUEUE_FULL_TRIES =>
                    {
                        match waiting.pop_front() {
                            Some((earlier, delivery)) => {
                                results[earlier] = delivered(delivery).await;
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
            results[index] = delivered(delivery).await;
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
    /// gets another one.
    fn replace_if_dead(&self, used: &Arc<Native>) {
        let Some((code, reason)) = used.client().fatal_error() else {
            return;
        };
        match create(&self.client) {
            Ok(fresh) => {
                tracing::error!(%code, reason, "producer ended by a fatal error, made anew");
                let previous = self.native.compare_and_swap(used, Arc::new(fresh));
                let previous = arc_swap::Guard::into_inner(previous);
                // Dropping the last reference joins a thread.
                std::thread::spawn(move || drop(previous));
            }
            Err(error) => tracing::error!(%error, "producer could not be made anew"),
        }
    }
}

fn create(client: &Client) -> Result<Native, KafkaError> {
    client.producer_config().create_with_context(Logged)
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

async fn delivered(delivery: DeliveryFuture) -> Result<(), Failed> {
    match delivery.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(Failed::ByBroker(error)),
        Err(_canceled) => Err(Failed::ByBroker(KafkaError::Canceled)),
    }
}
