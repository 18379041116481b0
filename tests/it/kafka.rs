//! The bus on a real Kafka: the port's contract, and what only Kafka has.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;

use async_trait::async_trait;
use trackops::kafka::{KafkaBus, KafkaSettings};
use trackops::ports::bus::Bus;
use uuid::Uuid;

use crate::contract::bus::BusFixture;

/// A prefix of its own on the shared broker.
struct Kafka(KafkaSettings);

impl Kafka {
    fn new() -> Self {
        let brokers = std::env::var("TRACKOPS_TEST_KAFKA_BROKERS")
            .expect("TRACKOPS_TEST_KAFKA_BROKERS must name a Kafka (cargo xtask test sets it)");
        Self(KafkaSettings {
            prefix: format!("it-{}.", Uuid::now_v7().simple()),
            partitions: 4,
            ..KafkaSettings::new(brokers)
        })
    }
}

#[async_trait]
impl BusFixture for Kafka {
    async fn connect(&self) -> Arc<dyn Bus> {
        Arc::new(KafkaBus::new(self.0.clone()).unwrap())
    }
}

crate::bus_contract!(async { Kafka::new() });
