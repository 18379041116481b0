//! The default file and the keys in it that hold secrets. Leaves reading it to [`super::layers`].

/// The default file: every key with a comment.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// The keys of secrets. Each secret may also be in a file, which the key's variable with the suffix `_FILE`
/// names.
pub(super) const SECRETS: [&str; 6] = [
    "link_secret",
    "orders_database_url",
    "inventory_database_url",
    "kafka_sasl_password",
    "redis_url",
    "tracking_keys",
];
