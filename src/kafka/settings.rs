//! Where Kafka is and how to speak to it. Leaves making a client of it to [`super::client`].

use std::collections::BTreeMap;
use std::fmt;

/// Where Kafka is and how to speak to it.
#[derive(Clone)]
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
    pub properties: BTreeMap<String, String>,
}

/// Prints only the names of the properties, because some of them are passwords.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("client_id", &self.client_id)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("properties", &self.properties.keys())
            .finish()
    }
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
        let secret = ("sasl.password".to_owned(), "hunter2".to_owned());
        settings.properties.extend([secret]);
        let printed = format!("{settings:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"));
    }
}
