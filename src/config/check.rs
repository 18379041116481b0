//! The rules for a configuration. A broken one is reported in a line that names the key.

use secrecy::{ExposeSecret as _, SecretString};

use super::error::ConfigError;
use super::values::{AccessConfig, Config, OrdersConfig, StoresConfig};
use super::{mask, oidc, tracking_keys};

/// Ranges and forms that hold for every role.
pub(super) fn values(config: &Config) -> Result<(), ConfigError> {
    let rule = |holds: bool, key: &'static str, rule: &str| {
        if holds {
            Ok(())
        } else {
            Err(ConfigError::Rule {
                key,
                rule: rule.into(),
            })
        }
    };
    let address = |text: &str| text.is_empty() || text.parse::<std::net::SocketAddr>().is_ok();
    rule(
        address(&config.http.listen),
        "listen",
        "must be an address such as 127.0.0.1:8080",
    )?;
    rule(
        address(&config.http.management_listen),
        "management_listen",
        "must be an address such as 127.0.0.1:9080",
    )?;
    rule(
        config.http.http_connections_max > 0,
        "http_connections_max",
        "must be at least 1",
    )?;
    rule(
        config.http.http_idle_ms > 0,
        "http_idle_ms",
        "must be at least 1",
    )?;
    rule(
        ["", "open", "required"].contains(&config.access.auth.as_str()),
        "auth",
        "must be open or required, or empty for the role's",
    )?;
    if let Err(broken) = oidc::parse(&config.access.oidc_issuers) {
        rule(false, "oidc_issuers", &broken)?;
    }
    tracking(&config.access, rule)?;
    super::limits::check(&config.limits, rule)?;
    super::links::check(&config.replica, rule)?;
    rule(
        (300..=60_000).contains(&config.replica.lease_ms),
        "lease_ms",
        "must be 300 to 60000",
    )?;
    rule(
        config.stores.shards <= trackops_cluster::ShardCount::MAX,
        "shards",
        "must be 1 to 4096, or 0 for the database's",
    )?;
    rule(
        (1..=64).contains(&config.stores.append_connections),
        "append_connections",
        "must be 1 to 64",
    )?;
    rule(
        (1..=256).contains(&config.stores.read_connections),
        "read_connections",
        "must be 1 to 256",
    )?;
    rule(
        (1..=1000).contains(&config.stores.kafka_partitions),
        "kafka_partitions",
        "must be 1 to 1000",
    )?;
    rule(
        config.live.subscriptions_max > 0,
        "subscriptions_max",
        "must be at least 1",
    )?;
    rule(
        config.live.subscriptions_total_max > 0,
        "subscriptions_total_max",
        "must be at least 1",
    )?;
    rule(
        config.stores.retention_days <= 36_500,
        "retention_days",
        "must be 0 to 36500",
    )?;
    rule(
        is_base_url(&config.http.problem_base_url),
        "problem_base_url",
        BASE_URL,
    )?;
    kafka_security(&config.stores, rule)?;
    orders(&config.orders, rule)?;
    rule(
        matches!(config.log.log_format.as_str(), "text" | "json"),
        "log_format",
        "must be text or json",
    )
}

/// Tracking links.
fn tracking(
    access: &AccessConfig,
    rule: impl Fn(bool, &'static str, &str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    rule(
        tracking_keys::parse(&access.tracking_keys).is_some(),
        "tracking_keys",
        "must be id:secret,id:secret with different ids of 1 to 8 visible ASCII characters, and secrets of at least 16",
    )?;
    rule(
        is_base_url(&access.tracking_base_url),
        "tracking_base_url",
        BASE_URL,
    )
}

/// The form of what goes before a path.
const BASE_URL: &str =
    "must be a URL such as https://shop.example, without a user, a query or a fragment";

/// Whether `url` has that form, or is empty.
fn is_base_url(url: &str) -> bool {
    let after = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    let is_base = |after: &str| {
        let is_visible = after.bytes().all(|byte| byte.is_ascii_graphic());
        let has_host = !after.is_empty() && !after.starts_with(['/', ':']);
        is_visible && has_host && !after.contains(['?', '#', '@'])
    };
    url.is_empty() || after.is_some_and(is_base)
}

/// Actors and saga.
fn orders(
    orders: &OrdersConfig,
    rule: impl Fn(bool, &'static str, &str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    rule(
        (1..=16).contains(&orders.writer_lanes),
        "writer_lanes",
        "must be 1 to 16",
    )?;
    let budgets = [
        ("node_waiting_bytes_max", orders.node_waiting_bytes_max),
        ("actors_bytes_max", orders.actors_bytes_max),
    ];
    for (key, bytes) in budgets {
        // Room for several of the largest orders: with less, large orders would be handled one by one.
        rule(bytes >= 1 << 20, key, "must be at least 1048576")?;
    }
    let counts = [
        ("actors_max", orders.actors_max > 0),
        ("order_waiting_max", orders.order_waiting_max > 0),
        ("node_waiting_max", orders.node_waiting_max > 0),
    ];
    for (key, holds) in counts {
        rule(holds, key, "must be at least 1")?;
    }
    let times = [
        ("reservation_timeout_ms", orders.reservation_timeout_ms),
        ("reservation_wait_max_ms", orders.reservation_wait_max_ms),
        ("release_timeout_ms", orders.release_timeout_ms),
        ("saga_stuck_after_ms", orders.saga_stuck_after_ms),
        ("passivate_live_ms", orders.passivate_live_ms),
        ("passivate_final_ms", orders.passivate_final_ms),
    ];
    let a_year = std::time::Duration::from_hours(365 * 24).as_millis();
    let range = format!("must be 100 to {a_year}");
    for (key, ms) in times {
        rule((100..=a_year).contains(&u128::from(ms)), key, &range)?;
    }
    Ok(())
}

/// Which security settings of the brokers go together.
fn kafka_security(
    stores: &StoresConfig,
    rule: impl Fn(bool, &'static str, &str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let protocol = stores.kafka_security_protocol.as_str();
    rule(
        matches!(
            protocol,
            "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL"
        ),
        "kafka_security_protocol",
        "must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    )?;
    let is_sasl = protocol.starts_with("SASL");
    let mechanism = stores.kafka_sasl_mechanism.as_str();
    rule(
        cfg!(feature = "tls") || !protocol.ends_with("SSL"),
        "kafka_security_protocol",
        &format!("{protocol} needs a build with the feature `tls`"),
    )?;
    rule(
        cfg!(feature = "tls") || !mechanism.starts_with("SCRAM"),
        "kafka_sasl_mechanism",
        &format!("{mechanism} needs a build with the feature `tls`"),
    )?;
    let known = matches!(mechanism, "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512");
    rule(
        if is_sasl { known } else { mechanism.is_empty() },
        "kafka_sasl_mechanism",
        "must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 with SASL, and empty without",
    )?;
    rule(
        !is_sasl || !stores.kafka_sasl_username.is_empty(),
        "kafka_sasl_username",
        "must be set with SASL",
    )?;
    rule(
        !is_sasl || !stores.kafka_sasl_password.expose_secret().is_empty(),
        "kafka_sasl_password",
        "must be set with SASL",
    )
}

/// The text under a key that the role needs.
fn set<'a>(key: &'static str, value: &'a SecretString) -> Result<&'a str, ConfigError> {
    let text = value.expose_secret();
    if text.is_empty() {
        let variable = key.to_ascii_uppercase();
        return Err(ConfigError::Rule {
            key,
            rule: format!("is not set (TRACKOPS_{variable})"),
        });
    }
    Ok(text)
}

/// The URL under a key that the role needs; its scheme must be one of `schemes`.
pub(super) fn url<'a>(
    key: &'static str,
    value: &'a SecretString,
    schemes: &[&str],
) -> Result<&'a SecretString, ConfigError> {
    let text = set(key, value)?;
    if schemes.iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(value);
    }
    // The message repeats no part of the value: any part may be the password.
    Err(ConfigError::Rule {
        key,
        rule: format!("must begin with {}", schemes.join(" or ")),
    })
}

impl Config {
    /// The orders' database, which must be set.
    pub fn orders_database(&self) -> Result<&SecretString, ConfigError> {
        url(
            "orders_database_url",
            &self.stores.orders_database_url,
            &["postgres://", "postgresql://"],
        )
    }

    /// The inventory's database, which must be set.
    pub fn inventory_database(&self) -> Result<&SecretString, ConfigError> {
        url(
            "inventory_database_url",
            &self.stores.inventory_database_url,
            &["postgres://", "postgresql://"],
        )
    }

    /// The cache, which must be set. In-process memory is refused: another replica may run.
    pub fn redis(&self) -> Result<&SecretString, ConfigError> {
        url(
            "redis_url",
            &self.stores.redis_url,
            &["redis://", "rediss://"],
        )
    }

    /// The brokers, which must be set; `kafka://` before them is accepted.
    pub fn kafka(&self) -> Result<&str, ConfigError> {
        let brokers = set("kafka_brokers", &self.stores.kafka_brokers)?;
        let brokers = brokers.strip_prefix("kafka://").unwrap_or(brokers);
        if !mask::are_hosts(brokers) {
            return Err(ConfigError::Rule {
                key: "kafka_brokers",
                rule: "must be host:port,host:port; who we are is kafka_sasl_username".into(),
            });
        }
        Ok(brokers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Flags};
    use super::values;

    #[test]
    fn the_default_file_is_complete_and_valid() {
        let config = Config::load(None, &Flags::default()).expect("defaults are valid");
        let shown = config.show();
        for key in super::super::layers::known_keys() {
            assert!(shown.contains(&format!("{key} = ")), "{key} is not shown");
        }
        assert_eq!(
            shown.lines().count(),
            super::super::layers::known_keys().len()
        );
    }

    #[test]
    fn a_number_that_makes_no_sense_is_named() {
        type Change = (&'static str, fn(&mut Config));
        let changes: [Change; 14] = [
            ("http_idle_ms", |config| {
                config.http.http_idle_ms = 0;
            }),
            ("kafka_partitions", |config| {
                config.stores.kafka_partitions = 0;
            }),
            ("retention_days", |config| {
                config.stores.retention_days = 40_000;
            }),
            ("subscriptions_max", |config| {
                config.live.subscriptions_max = 0;
            }),
            ("writer_lanes", |config| {
                config.orders.writer_lanes = 0;
            }),
            ("actors_max", |config| {
                config.orders.actors_max = 0;
            }),
            ("actors_bytes_max", |config| {
                config.orders.actors_bytes_max = 1000;
            }),
            ("node_waiting_bytes_max", |config| {
                config.orders.node_waiting_bytes_max = 0;
            }),
            ("reservation_timeout_ms", |config| {
                config.orders.reservation_timeout_ms = 99;
            }),
            ("reservation_wait_max_ms", |config| {
                config.orders.reservation_wait_max_ms = u64::MAX;
            }),
            ("release_timeout_ms", |config| {
                config.orders.release_timeout_ms = u64::MAX;
            }),
            ("saga_stuck_after_ms", |config| {
                config.orders.saga_stuck_after_ms = 0;
            }),
            ("passivate_live_ms", |config| {
                config.orders.passivate_live_ms = u64::MAX;
            }),
            ("passivate_final_ms", |config| {
                config.orders.passivate_final_ms = 0;
            }),
        ];
        for (key, change) in changes {
            let mut config = Config::load(None, &Flags::default()).expect("defaults are valid");
            change(&mut config);
            let error = values(&config).expect_err(key).to_string();
            assert!(
                error.starts_with(key) && error.contains("must be"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_tracking_links_need_is_named() {
        let refusal = |keys: &str, url: &str| {
            let mut config = Config::load(None, &Flags::default()).expect("defaults are valid");
            config.access.tracking_keys = keys.into();
            config.access.tracking_base_url = url.into();
            let error = values(&config).err().map(|error| error.to_string());
            assert!(
                error
                    .as_ref()
                    .is_none_or(|error| !error.contains("hunter2"))
            );
            error
        };
        let key = "k2:hunter2-hunter2-";
        for url in ["", "https://shop.example", "http://localhost:3000/shop/"] {
            assert_eq!(refusal(key, url), None, "{url}");
        }
        for url in [
            "shop.example",
            "https://",
            "https:///x",
            "https://a?b",
            "ftp://a",
            "https://a b",
        ] {
            let refused = refusal(key, url).expect(url);
            assert!(refused.starts_with("tracking_base_url"), "{refused}");
        }
        let refused = refusal("k2:hunter2", "").expect("too short");
        assert!(refused.starts_with("tracking_keys"), "{refused}");
    }

    #[test]
    fn what_speaks_to_kafka_goes_together() {
        let refusal = |protocol: &str, mechanism: &str, password: &str| {
            let mut config = Config::load(None, &Flags::default()).expect("defaults are valid");
            config.stores.kafka_security_protocol = protocol.into();
            config.stores.kafka_sasl_mechanism = mechanism.into();
            config.stores.kafka_sasl_username = "u".into();
            config.stores.kafka_sasl_password = password.into();
            assert!(!config.show().contains("hunter2"));
            values(&config).err().map(|error| error.to_string())
        };
        assert_eq!(refusal("PLAINTEXT", "", ""), None);
        let names = |refusal: Option<String>, key: &str, text: &str| {
            let refusal = refusal.expect("is refused");
            assert!(
                refusal.starts_with(key) && refusal.contains(text),
                "{refusal}"
            );
        };
        names(
            refusal("TLS", "", ""),
            "kafka_security_protocol",
            "SASL_SSL",
        );
        names(
            refusal("PLAINTEXT", "PLAIN", ""),
            "kafka_sasl_mechanism",
            "empty",
        );
        if cfg!(feature = "tls") {
            assert_eq!(refusal("SSL", "", ""), None);
            assert_eq!(refusal("SASL_SSL", "SCRAM-SHA-512", "hunter2"), None);
            names(
                refusal("SASL_SSL", "GSSAPI", "hunter2"),
                "kafka_sasl_mechanism",
                "PLAIN",
            );
            names(
                refusal("SASL_SSL", "PLAIN", ""),
                "kafka_sasl_password",
                "set",
            );
        } else {
            for protocol in ["SSL", "SASL_SSL"] {
                let refusal = refusal(protocol, "PLAIN", "hunter2");
                names(refusal, "kafka_security_protocol", "feature `tls`");
            }
            names(
                refusal("SASL_PLAINTEXT", "SCRAM-SHA-512", "hunter2"),
                "kafka_sasl_mechanism",
                "feature `tls`",
            );
            assert_eq!(refusal("SASL_PLAINTEXT", "PLAIN", "hunter2"), None);
        }
    }

    #[test]
    fn what_a_role_needs_is_named() {
        let config = Config::load(None, &Flags::default()).expect("defaults are valid");
        let error = config.orders_database().expect_err("not set").to_string();
        assert!(error.contains("TRACKOPS_ORDERS_DATABASE_URL"), "{error}");
    }
}
