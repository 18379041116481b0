//! Where Kafka is and how to speak to it. Leaves making a client of it to [`super::client`].

use std::collections::BTreeMap;

use secrecy::SecretString;

/// Where Kafka is and how to speak to it.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The prefix of every topic and group, so that installations can share a cluster.
    pub prefix: String,
    /// How the broker's logs name this client.
    pub client_id: String,
    /// Partitions of created topics: the most consumers that can share a topic.
    pub partitions: i32,
    /// Replicas of created topics; -1 for the broker's default.
    pub replication: i32,
    /// Further librdkafka properties, passed on as they are: `security.protocol`, `sasl.*`, `ssl.*`.
    /// Some of them are passwords.
    pub properties: BTreeMap<String, SecretString>,
}

impl KafkaSettings {
    /// The usual settings for `brokers`.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: String::new(),
            client_id: "trackops".into(),
            partitions: 12,
            replication: -1,
            properties: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_FILE;

    #[test]
    fn topics_are_made_as_the_default_file_says() {
        let usual = KafkaSettings::new("broker:9092");
        for line in [
            format!("kafka_partitions = {}", usual.partitions),
            format!("kafka_replication = {}", usual.replication),
        ] {
            assert!(DEFAULT_FILE.lines().any(|key| key == line), "{line}");
        }
    }

    #[test]
    fn a_debug_print_shows_no_password() {
        let mut settings = KafkaSettings::new("broker:9092");
        let secret = ("sasl.password".to_owned(), "hunter2".into());
        settings.properties.extend([secret]);
        let printed = format!("{settings:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"));
    }
}
