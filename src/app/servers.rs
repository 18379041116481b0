//! Opens the configured databases and the bus of the roles. Connects to none of them yet.

use std::collections::BTreeMap;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Config, StoresConfig};
use crate::kafka::{KafkaBus, KafkaSettings};
use crate::postgres::{self, Database, Kind};

pub(super) fn open_database(
    url: &SecretString,
    kind: Kind,
    stores: &StoresConfig,
) -> anyhow::Result<Database> {
    let settings = postgres::Settings {
        append_connections: stores.append_connections,
        read_connections: stores.read_connections,
        ..postgres::Settings::default()
    };
    Database::open(url.expose_secret(), kind, settings)
        .with_context(|| format!("{} database", kind.as_str()))
}

pub(super) fn open_bus(config: &Config) -> anyhow::Result<KafkaBus> {
    let settings = KafkaSettings {
        properties: kafka_security(&config.stores),
        prefix: config.stores.kafka_prefix.clone(),
        partitions: config.stores.kafka_partitions,
        replication: config.stores.kafka_replication,
        ..KafkaSettings::new(config.kafka()?)
    };
    KafkaBus::new(settings).context("kafka")
}

/// How to connect to the brokers, in librdkafka's settings; empty for the usual way.
fn kafka_security(stores: &StoresConfig) -> BTreeMap<String, SecretString> {
    let said = [
        ("security.protocol", &*stores.kafka_security_protocol),
        ("sasl.mechanism", &*stores.kafka_sasl_mechanism),
        ("sasl.username", &*stores.kafka_sasl_username),
        ("sasl.password", stores.kafka_sasl_password.expose_secret()),
    ];
    let is_plain = stores.kafka_security_protocol == "PLAINTEXT";
    said.into_iter()
        .filter(|(_, value)| !is_plain && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}
