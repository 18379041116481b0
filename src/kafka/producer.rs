//! Publishes messages, and reports the outcome of each once the broker has acknowledged it or it has
//! failed. Leaves gathering outcomes to [`super::publish_batch`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::acknowledged::Acknowledged;
use super::client::Client;
use super::convert;
use super::publish_batch::{Deliveries, Fate, PublishBatch, Slot};
use crate::ports::bus::{BusError, PublishError, RawMessage, Told};

/// How often a full local queue is tried again, and the pause between two tries. Together they are as
/// long as a message may wait for its acknowledgement, so the queue must have moved by then.
const QUEUE_FULL_TRIES: u32 = 1000;
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

type Native = ThreadedProducer<Deliveries>;

/// Called with the index and outcome of messages.
type Tell<'a> = &'a (dyn Fn(Vec<Told>) + Send + Sync);

/// The idempotent producer. It is made anew after a fatal error, or when the broker has taken one of its
/// messages for an earlier one.
pub(super) struct Producer {
    client: Client,
    life: ArcSwap<Life>,
}

/// One producer of librdkafka, until it is replaced.
struct Life {
    native: Native,
    acknowledged: Acknowledged,
    /// Set when the broker and this producer no longer agree on what was written.
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
        let results = messages.iter().map(|_| None).collect::<Vec<_>>();
        let results = Mutex::new(results);
        let note = |told: Vec<Told>| {
            let mut results = results.lock();
            for (at, result) in told {
                results[at] = Some(result);
            }
        };
        self.publish_each(messages, &note).await;
        // All outcomes are known by now.
        let canceled = || Err(Failed::ByBroker(KafkaError::Canceled).into_publish_error());
        let results = results.into_inner().into_iter();
        results
            .map(|result| result.unwrap_or_else(canceled))
            .collect()
    }

    /// Publishes in order, and reports each message once its outcome is known.
    pub(super) async fn publish_each(&self, messages: Vec<RawMessage>, tell: Tell<'_>) {
        let life = self.life.load_full();
        let wave = Arc::new(PublishBatch::default());
        // A broker that finds a request too large refuses all its messages. Sent alone, only the message
        // at fault is refused.
        let suspects = Mutex::new(Vec::new());
        let is_alone = messages.len() == 1;
        let note = |fates: Vec<Fate>| {
            let mut told = Vec::with_capacity(fates.len());
            for (at, outcome) in fates {
                match life.judge(&messages[at], outcome) {
                    Err(Failed::ByBroker(error)) if too_large(&error) && !is_alone => {
                        suspects.lock().push(at);
                    }
                    result => told.push((at, result.map_err(Failed::into_publish_error))),
                }
            }
            self.tell(&life, told, tell);
        };
        for (at, message) in messages.iter().enumerate() {
            if let Err(error) = self.send(&life, &wave, at, message, &note).await {
                let error = Failed::AtOnce(error).into_publish_error();
                self.tell(&life, vec![(at, Err(error))], tell);
            }
        }
        while let Some(fates) = wave.next().await {
            note(fates);
        }
        for at in suspects.into_inner() {
            let result = self.send_alone(&life, &messages[at]).await;
            let result = result.map_err(Failed::into_publish_error);
            self.tell(&life, vec![(at, result)], tell);
        }
    }

    fn tell(&self, life: &Arc<Life>, told: Vec<Told>, tell: Tell<'_>) {
        if told.iter().any(|(_, result)| result.is_err()) {
            self.replace_if_dead(life);
        }
        if !told.is_empty() {
            tell(told);
        }
    }

    async fn send_alone(&self, life: &Arc<Life>, message: &RawMessage) -> Result<(), Failed> {
        let wave = Arc::new(PublishBatch::default());
        let enqueued = self.enqueue(&life.native, &wave, 0, message);
        enqueued.map_err(Failed::AtOnce)?;
        let fates = wave.next().await.unwrap_or_default();
        let outcome = fates.into_iter().next();
        let canceled = || Err(KafkaError::Canceled);
        life.judge(
            message,
            outcome.map_or_else(canceled, |(_, outcome)| outcome),
        )
    }

    /// Hands a message to librdkafka once its queue has room.
    async fn send(
        &self,
        life: &Life,
        wave: &Arc<PublishBatch>,
        at: usize,
        message: &RawMessage,
        note: &(dyn Fn(Vec<Fate>) + Send + Sync),
    ) -> Result<(), KafkaError> {
        let mut tries = 0;
        loop {
            match self.enqueue(&life.native, wave, at, message) {
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
                    if tries < QUEUE_FULL_TRIES =>
                {
                    tries += 1;
                    // The queue may be full of this call's messages or of other calls' messages.
                    let more = tokio::time::timeout(QUEUE_FULL_PAUSE, wave.next()).await;
                    match more {
                        Ok(Some(fates)) => note(fates),
                        Ok(None) => tokio::time::sleep(QUEUE_FULL_PAUSE).await,
                        Err(_) => {}
                    }
                }
                result => return result,
            }
        }
    }

    fn enqueue(
        &self,
        native: &Native,
        wave: &Arc<PublishBatch>,
        at: usize,
        message: &RawMessage,
    ) -> Result<(), KafkaError> {
        let topic = self.client.prefixed(&message.topic);
        let slot = Box::new(Slot::of(wave, at));
        let mut record = BaseRecord::<[u8], [u8], Box<Slot>>::with_opaque_to(&topic, slot)
            .headers(convert::headers(message));
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        native.send(record).map_err(|(error, record)| {
            record.delivery_opaque.give_up();
            error
        })
    }

    /// Replaces a producer after a fatal error, or when the broker takes its numbers for earlier ones.
    /// Its messages in flight are reported as failed, and the next call uses the new producer.
    fn replace_if_dead(&self, used: &Arc<Life>) {
        if !Arc::ptr_eq(&self.life.load_full(), used) {
            // Another message's outcome has already replaced it.
            return;
        }
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
            native: client.producer_config().create_with_context(Deliveries)?,
            acknowledged: Acknowledged::default(),
            is_mistaken: AtomicBool::new(false),
        })
    }

    /// Accepts an acknowledgement only if no other message was given the same offset.
    fn judge(
        &self,
        message: &RawMessage,
        outcome: Result<(i32, i64), KafkaError>,
    ) -> Result<(), Failed> {
        let (partition, offset) = outcome.map_err(Failed::ByBroker)?;
        if self.acknowledged.note(&message.topic, partition, offset) {
            return Ok(());
        }
        tracing::error!(topic = %message.topic, partition, offset, "acknowledged, but not written");
        self.is_mistaken.store(true, Ordering::Relaxed);
        let code = RDKafkaErrorCode::DuplicateSequenceNumber;
        Err(Failed::ByBroker(KafkaError::MessageProduction(code)))
    }
}

/// Why a message was not published, and who said so.
#[derive(Debug)]
enum Failed {
    /// librdkafka refused to take the message.
    AtOnce(KafkaError),
    /// The broker refused it, or librdkafka failed it after waiting for the broker.
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

/// Whether the same message will be refused for ever. A missing topic isn't permanent, because it can be
/// created.
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
