//! The configuration: defaults, then the file, then `TRACKOPS_…` variables, then flags; one struct
//! per concern, checked before a port is opened.

mod check;
mod environment;
mod layers;
mod mask;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use trackops_cluster::ShardCount;

pub use check::ConfigError;
pub use environment::Misspelt;
pub use mask::masked;

/// The default file: every key with a comment.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub http: HttpConfig,
    /// Who this replica is.
    pub replica: ReplicaConfig,
    /// PostgreSQL, Kafka, Redis.
    pub stores: StoresConfig,
    /// Actors and saga.
    pub orders: OrdersConfig,
    /// Sockets and streams.
    pub live: LiveConfig,
    /// Logs.
    pub log: LogConfig,
    /// Variables of the environment that mean nothing.
    pub misspelt: Vec<Misspelt>,
}

/// Where to listen.
#[derive(Clone, Debug, Deserialize)]
pub struct HttpConfig {
    /// Public address; empty for the role's.
    pub listen: String,
    /// Management address; empty for the role's.
    pub management_listen: String,
    /// Open connections at most.
    pub http_connections_max: usize,
    /// See the default file; milliseconds.
    pub http_idle_ms: u64,
    /// Limit of a graceful stop in milliseconds; 0 for the role's.
    pub shutdown_ms: u64,
    /// See the default file; milliseconds.
    pub unready_notice_ms: u64,
}

/// Who this replica is, and how others reach it. Prints with the secret masked.
#[derive(Clone, Deserialize)]
pub struct ReplicaConfig {
    /// Its name; empty for the host's.
    pub node_id: String,
    /// Length of the lease in milliseconds.
    pub lease_ms: u64,
    /// Address of the listener for links of other replicas.
    pub link_listen: String,
    /// Where others reach it; empty for the listener's address.
    pub advertised_addr: String,
    /// What all replicas share; empty for a replica that is alone.
    pub link_secret: String,
}

/// Databases, bus and cache. Prints with secrets masked.
#[derive(Clone, Deserialize)]
pub struct StoresConfig {
    /// The orders' database.
    pub orders_database_url: String,
    /// The inventory's database.
    pub inventory_database_url: String,
    /// Shards of the orders database; 0 if that is left to it.
    pub shards: u16,
    /// Connections for appends.
    pub append_connections: u32,
    /// Connections for the rest.
    pub read_connections: u32,
    /// Brokers, separated by commas.
    pub kafka_brokers: String,
    /// How the brokers are spoken to.
    pub kafka_security_protocol: String,
    /// How we say who we are; empty without SASL.
    pub kafka_sasl_mechanism: String,
    /// Who we are.
    pub kafka_sasl_username: String,
    /// What proves it.
    pub kafka_sasl_password: String,
    /// Before topics and groups.
    pub kafka_prefix: String,
    /// Partitions of new topics.
    pub kafka_partitions: i32,
    /// Replicas of new topics.
    pub kafka_replication: i32,
    /// The cache.
    pub redis_url: String,
    /// Before keys.
    pub redis_prefix: String,
    /// Days after which settled rows are removed; 0 for never.
    pub retention_days: u32,
}

/// Actors and saga.
#[derive(Clone, Debug, Deserialize)]
pub struct OrdersConfig {
    /// See the default file; milliseconds.
    pub reservation_timeout_ms: u64,
    /// See the default file.
    pub reservation_ask_again_max: u32,
    /// See the default file; milliseconds.
    pub reservation_wait_max_ms: u64,
    /// See the default file; milliseconds.
    pub release_timeout_ms: u64,
    /// See the default file; milliseconds.
    pub saga_stuck_after_ms: u64,
    /// See the default file; milliseconds.
    pub passivate_live_ms: u64,
    /// See the default file; milliseconds.
    pub passivate_final_ms: u64,
    /// See the default file.
    pub actors_max: usize,
    /// See the default file.
    pub actors_bytes_max: u64,
    /// See the default file.
    pub order_waiting_max: u32,
    /// See the default file.
    pub node_waiting_max: u32,
    /// See the default file.
    pub node_waiting_bytes_max: u64,
    /// See the default file.
    pub writer_lanes: usize,
}

impl OrdersConfig {
    /// An order that waits for inventory for longer is stuck.
    pub fn saga_stuck_after(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.saga_stuck_after_ms)
    }
}

/// Sockets and streams.
#[derive(Clone, Debug, Deserialize)]
pub struct LiveConfig {
    /// Orders that one socket may follow.
    pub subscriptions_max: usize,
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
pub struct LogConfig {
    /// Filter directives.
    pub log: String,
    /// `text` or `json`.
    pub log_format: String,
}

/// Values from the command line, which win over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--strict`: a variable that means nothing is an error.
    pub is_strict: bool,
}

impl Config {
    /// Reads and checks the configuration.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut table = layers::defaults()?;
        if let Some(file) = file {
            layers::add_file(&mut table, file)?;
        }
        layers::add_environment(&mut table, |name| std::env::var(name).ok())?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let misspelt = environment::misspelt(names, table.keys());
        if flags.is_strict && !misspelt.is_empty() {
            return Err(ConfigError::Misspelt(misspelt));
        }
        if let Some(listen) = &flags.listen {
            table.insert("listen".into(), listen.clone().into());
        }
        let config = Self {
            http: layers::part(&table)?,
            replica: layers::part(&table)?,
            stores: layers::part(&table)?,
            orders: layers::part(&table)?,
            live: layers::part(&table)?,
            log: layers::part(&table)?,
            misspelt,
        };
        check::values(&config)?;
        Ok(config)
    }

    /// Every key with its value in force as TOML, secrets masked, in the order of the default file.
    pub fn show(&self) -> String {
        let (http, stores, orders) = (&self.http, &self.stores, &self.orders);
        let text = |value: &str| format!("{value:?}");
        let rows: Vec<(&str, String)> = vec![
            ("listen", text(&http.listen)),
            ("management_listen", text(&http.management_listen)),
            (
                "http_connections_max",
                http.http_connections_max.to_string(),
            ),
            ("http_idle_ms", http.http_idle_ms.to_string()),
            ("shutdown_ms", http.shutdown_ms.to_string()),
            ("unready_notice_ms", http.unready_notice_ms.to_string()),
            ("node_id", text(&self.replica.node_id)),
            ("lease_ms", self.replica.lease_ms.to_string()),
            ("link_listen", text(&self.replica.link_listen)),
            ("advertised_addr", text(&self.replica.advertised_addr)),
            ("link_secret", text(mask::hidden(&self.replica.link_secret))),
            (
                "orders_database_url",
                text(&masked(&stores.orders_database_url)),
            ),
            (
                "inventory_database_url",
                text(&masked(&stores.inventory_database_url)),
            ),
            ("shards", stores.shards.to_string()),
            ("append_connections", stores.append_connections.to_string()),
            ("read_connections", stores.read_connections.to_string()),
            ("kafka_brokers", text(mask::brokers(&stores.kafka_brokers))),
            (
                "kafka_security_protocol",
                text(&stores.kafka_security_protocol),
            ),
            ("kafka_sasl_mechanism", text(&stores.kafka_sasl_mechanism)),
            ("kafka_sasl_username", text(&stores.kafka_sasl_username)),
            (
                "kafka_sasl_password",
                text(mask::hidden(&stores.kafka_sasl_password)),
            ),
            ("kafka_prefix", text(&stores.kafka_prefix)),
            ("kafka_partitions", stores.kafka_partitions.to_string()),
            ("kafka_replication", stores.kafka_replication.to_string()),
            ("redis_url", text(&masked(&stores.redis_url))),
            ("redis_prefix", text(&stores.redis_prefix)),
            (
                "reservation_timeout_ms",
                orders.reservation_timeout_ms.to_string(),
            ),
            (
                "reservation_ask_again_max",
                orders.reservation_ask_again_max.to_string(),
            ),
            (
                "reservation_wait_max_ms",
                orders.reservation_wait_max_ms.to_string(),
            ),
            ("release_timeout_ms", orders.release_timeout_ms.to_string()),
            (
                "saga_stuck_after_ms",
                orders.saga_stuck_after_ms.to_string(),
            ),
            ("passivate_live_ms", orders.passivate_live_ms.to_string()),
            ("passivate_final_ms", orders.passivate_final_ms.to_string()),
            ("actors_max", orders.actors_max.to_string()),
            ("actors_bytes_max", orders.actors_bytes_max.to_string()),
            ("order_waiting_max", orders.order_waiting_max.to_string()),
            ("node_waiting_max", orders.node_waiting_max.to_string()),
            (
                "node_waiting_bytes_max",
                orders.node_waiting_bytes_max.to_string(),
            ),
            ("writer_lanes", orders.writer_lanes.to_string()),
            ("retention_days", stores.retention_days.to_string()),
            ("subscriptions_max", self.live.subscriptions_max.to_string()),
            ("log", text(&self.log.log)),
            ("log_format", text(&self.log.log_format)),
        ];
        let mut shown = String::new();
        for (key, value) in rows {
            shown.extend([key, " = ", &value, "\n"]);
        }
        shown
    }
}

impl HttpConfig {
    /// The limit of a graceful stop; `otherwise` unless one is set.
    pub fn shutdown(&self, otherwise: Duration) -> Duration {
        if self.shutdown_ms == 0 {
            otherwise
        } else {
            Duration::from_millis(self.shutdown_ms)
        }
    }

    /// How long a replica goes on answering once it has said that it stops.
    pub fn notice(&self) -> Duration {
        Duration::from_millis(self.unready_notice_ms)
    }
}

impl StoresConfig {
    /// How many shards the orders database is said to have, if anything is said.
    pub fn shards_set(&self) -> Option<ShardCount> {
        ShardCount::new(self.shards)
    }
}

impl ReplicaConfig {
    /// The name in force.
    pub fn name(&self) -> String {
        if !self.node_id.is_empty() {
            return self.node_id.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        if host.is_empty() {
            "node-1".into()
        } else {
            host.into()
        }
    }
}

impl std::fmt::Debug for ReplicaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaConfig")
            .field("node_id", &self.node_id)
            .field("lease_ms", &self.lease_ms)
            .field("link_listen", &self.link_listen)
            .field("advertised_addr", &self.advertised_addr)
            .field("link_secret", &mask::hidden(&self.link_secret))
            .finish()
    }
}

impl std::fmt::Debug for StoresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoresConfig")
            .field("orders_database_url", &masked(&self.orders_database_url))
            .field(
                "inventory_database_url",
                &masked(&self.inventory_database_url),
            )
            .field("kafka_brokers", &mask::brokers(&self.kafka_brokers))
            .field("redis_url", &masked(&self.redis_url))
            .finish_non_exhaustive()
    }
}
