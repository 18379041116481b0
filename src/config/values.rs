//! The values in force, one struct per concern, and values derived from them. Leaves reading them to
//! [`super::load`], and checking them to [`super::check`].

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use trackops_cluster::ShardCount;

use super::environment::Misspelt;
use super::layers;
use super::limits::LimitsConfig;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub http: HttpConfig,
    /// Who may do what.
    pub access: AccessConfig,
    /// How much one caller may have.
    pub limits: LimitsConfig,
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
    /// Unknown environment variables.
    pub misspelt: Vec<Misspelt>,
}

/// Where to listen.
#[derive(Clone, Debug, Deserialize)]
pub struct HttpConfig {
    /// Public address; empty for the role's.
    pub listen: String,
    /// Management address; empty for the role's.
    pub management_listen: String,
    /// Names that every listener answers to, separated by commas.
    pub allowed_hosts: String,
    /// Origins whose pages may call the public API, separated by commas.
    pub cors_allowed_origins: String,
    /// Whether `/docs` is there.
    pub docs: bool,
    /// What goes before the path of a problem's page; empty for nothing.
    pub problem_base_url: String,
    /// Open connections at most.
    pub http_connections_max: usize,
    /// See the default file; milliseconds.
    pub http_idle_ms: u64,
    /// Limit of a graceful stop in milliseconds; 0 for the role's.
    pub shutdown_ms: u64,
    /// See the default file; milliseconds.
    pub unready_notice_ms: u64,
}

/// Who may do what.
#[derive(Clone, Debug, Deserialize)]
pub struct AccessConfig {
    /// `open`, `required`, or empty for the role's.
    pub auth: String,
    /// One issuer a line; see [`oidc::parse`](super::oidc::parse).
    pub oidc_issuers: String,
    /// `id:secret,id:secret`; see [`tracking_keys::parse`](super::tracking_keys::parse).
    pub tracking_keys: SecretString,
    /// What goes before `/track/…`; empty for nothing.
    pub tracking_base_url: String,
}

impl AccessConfig {
    /// Whether everybody needs a credential; `otherwise` if the key doesn't say.
    pub fn is_required(&self, otherwise: bool) -> bool {
        match self.auth.as_str() {
            "open" => false,
            "required" => true,
            _ => otherwise,
        }
    }
}

/// Who this replica is, and how others reach it.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplicaConfig {
    /// Its name; empty for the host's.
    pub node_id: String,
    /// Length of the lease in milliseconds.
    pub lease_ms: u64,
    /// Address of the listener for links of other replicas.
    pub link_listen: String,
    /// Where others reach it; empty for the listener's address.
    pub advertised_addr: String,
    /// PEM file with this replica's certificate for links; empty for none.
    pub link_tls_cert: String,
    /// PEM file with its key.
    pub link_tls_key: String,
    /// PEM file with the authorities of all replicas' certificates.
    pub link_tls_ca: String,
    /// The secret that all replicas share; empty for none.
    pub link_secret: SecretString,
}

/// Databases, bus and cache.
#[derive(Clone, Debug, Deserialize)]
pub struct StoresConfig {
    /// The orders' database.
    pub orders_database_url: SecretString,
    /// The inventory's database.
    pub inventory_database_url: SecretString,
    /// Shards of the orders database; 0 to accept the number that it has.
    pub shards: u16,
    /// Connections for appends.
    pub append_connections: u32,
    /// Connections for the rest.
    pub read_connections: u32,
    /// Brokers, separated by commas. No secret, but a password may stand here by mistake.
    pub kafka_brokers: SecretString,
    /// The security protocol of the brokers.
    pub kafka_security_protocol: String,
    /// The SASL mechanism; empty without SASL.
    pub kafka_sasl_mechanism: String,
    /// The SASL user.
    pub kafka_sasl_username: String,
    /// The SASL password.
    pub kafka_sasl_password: SecretString,
    /// Prefix of topics and groups.
    pub kafka_prefix: String,
    /// Partitions of new topics.
    pub kafka_partitions: i32,
    /// Replicas of new topics.
    pub kafka_replication: i32,
    /// The cache.
    pub redis_url: SecretString,
    /// Prefix of keys.
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

impl Default for OrdersConfig {
    fn default() -> Self {
        let defaults = layers::defaults().and_then(|table| layers::part(&table));
        defaults.expect("the default file is compiled in, and a test reads it")
    }
}

impl OrdersConfig {
    /// An order that waits for inventory for longer is stuck.
    pub fn saga_stuck_after(&self) -> Duration {
        Duration::from_millis(self.saga_stuck_after_ms)
    }
}

/// Sockets and streams.
#[derive(Clone, Debug, Deserialize)]
pub struct LiveConfig {
    /// Orders that one socket may follow.
    pub subscriptions_max: usize,
    /// Orders that all sockets and streams may follow.
    pub subscriptions_total_max: usize,
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
pub struct LogConfig {
    /// Filter directives.
    pub log: String,
    /// `text` or `json`.
    pub log_format: String,
}

impl HttpConfig {
    /// The limit of a graceful stop; `otherwise` if none is set.
    pub fn shutdown(&self, otherwise: Duration) -> Duration {
        if self.shutdown_ms == 0 {
            otherwise
        } else {
            Duration::from_millis(self.shutdown_ms)
        }
    }

    /// How long a replica goes on answering after it has announced its stop.
    pub fn notice(&self) -> Duration {
        Duration::from_millis(self.unready_notice_ms)
    }
}

impl StoresConfig {
    /// The configured number of shards of the orders database, if one is set.
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
