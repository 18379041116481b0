//! The configuration in force as TOML, for a person. Leaves masking to [`super::mask`].

use super::limits::LimitsConfig;
use super::mask::{self, masked};
use super::values::{AccessConfig, Config, LiveConfig};

impl Config {
    /// Every key with its value in force as TOML, secrets masked, in the order of the default file.
    pub fn show(&self) -> String {
        let (http, stores, orders) = (&self.http, &self.stores, &self.orders);
        let text = |value: &str| format!("{value:?}");
        let mut rows: Vec<(&str, String)> = vec![
            ("listen", text(&http.listen)),
            ("management_listen", text(&http.management_listen)),
            ("allowed_hosts", text(&http.allowed_hosts)),
            ("cors_allowed_origins", text(&http.cors_allowed_origins)),
            ("docs", http.docs.to_string()),
            ("problem_base_url", text(&http.problem_base_url)),
            (
                "http_connections_max",
                http.http_connections_max.to_string(),
            ),
            ("http_idle_ms", http.http_idle_ms.to_string()),
            ("shutdown_ms", http.shutdown_ms.to_string()),
            ("unready_notice_ms", http.unready_notice_ms.to_string()),
        ];
        rows.extend(access(&self.access));
        rows.extend(limits(&self.limits));
        rows.extend([
            ("node_id", text(&self.replica.node_id)),
            ("lease_ms", self.replica.lease_ms.to_string()),
            ("link_tls_cert", text(&self.replica.link_tls_cert)),
            ("link_tls_key", text(&self.replica.link_tls_key)),
            ("link_tls_ca", text(&self.replica.link_tls_ca)),
            ("link_secret", text(mask::hidden(&self.replica.link_secret))),
            ("link_listen", text(&self.replica.link_listen)),
            ("advertised_addr", text(&self.replica.advertised_addr)),
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
        ]);
        rows.extend(live(&self.live));
        rows.extend([
            ("log", text(&self.log.log)),
            ("log_format", text(&self.log.log_format)),
        ]);
        let mut shown = String::new();
        for (key, value) in rows {
            shown.extend([key, " = ", &value, "\n"]);
        }
        shown
    }
}

fn access(access: &AccessConfig) -> [(&'static str, String); 4] {
    let text = |value: &str| format!("{value:?}");
    [
        ("auth", text(&access.auth)),
        ("oidc_issuers", text(&access.oidc_issuers)),
        ("tracking_keys", text(mask::hidden(&access.tracking_keys))),
        ("tracking_base_url", text(&access.tracking_base_url)),
    ]
}

fn limits(limits: &LimitsConfig) -> impl Iterator<Item = (&'static str, String)> {
    let connections = limits.connections_per_address_max.to_string();
    let first = [
        ("trusted_proxies", limits.trusted_proxies.to_string()),
        ("connections_per_address_max", connections),
    ];
    let rates = limits.limits();
    let rates = rates.map(|(key, limit)| (key, format!("{limit:?}")));
    first.into_iter().chain(rates)
}

fn live(live: &LiveConfig) -> [(&'static str, String); 2] {
    let all = live.subscriptions_total_max.to_string();
    [
        ("subscriptions_max", live.subscriptions_max.to_string()),
        ("subscriptions_total_max", all),
    ]
}
