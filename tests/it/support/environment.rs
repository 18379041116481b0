//! The shared servers that the tests run against, and names that nobody else uses on them.

use std::path::PathBuf;

/// A PostgreSQL superuser's URL without a database.
pub fn postgres() -> String {
    required("TRACKOPS_TEST_POSTGRES_URL")
}

/// A Redis.
pub fn redis() -> String {
    required("TRACKOPS_TEST_REDIS_URL")
}

/// Kafka brokers.
pub fn kafka() -> String {
    required("TRACKOPS_TEST_KAFKA_BROKERS")
}

fn required(name: &str) -> String {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| panic!("{name} is not set: run the tests by `cargo xtask test`"))
}

/// The program. Another build of it is run only to write dumps of what an older version leaves.
pub fn program() -> PathBuf {
    let other = std::env::var_os("TRACKOPS_TEST_PROGRAM");
    other.map_or_else(|| env!("CARGO_BIN_EXE_trackops").into(), PathBuf::from)
}

/// A tag for the databases, topics and keys of one deployment.
pub fn fresh_tag() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("it_{}", &random[..12])
}

/// A port of loopback that nobody listens on, outside the range of outgoing connections.
pub fn free_port() -> u16 {
    xtask::servers::free_port().expect("a free port")
}

/// A fresh folder for logs and data of one deployment.
pub fn fresh_folder(tag: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(tag);
    std::fs::create_dir_all(&folder).expect("create a folder for logs");
    folder
}
