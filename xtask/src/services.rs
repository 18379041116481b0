//! `cargo xtask services`: PostgreSQL, Redis and Kafka that stay, with their data, until
//! they are taken down. One set for each clone, or for each `TRACKOPS_SERVICES_DIR`.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xtask::servers::{KafkaLaunch, Launch, PostgresLaunch, RedisLaunch, Server};

use crate::{cargo, need};

/// How often a server is asked before it counts as down; each try takes a second at most.
const LOOKS_MAX: u32 = 10;

/// The addresses of the three servers.
pub struct Urls {
    /// A superuser's URL, without a database.
    pub postgres: String,
    /// The URL of the first Redis database.
    pub redis: String,
    /// `host:port`.
    pub kafka: String,
}

/// Starts the servers that don't run, and prints the variables that name all three. Nothing else goes to the
/// standard output, so that a shell can read it.
pub fn up() -> Result<()> {
    let urls = up_all()?;
    println!("TRACKOPS_TEST_POSTGRES_URL={}", urls.postgres);
    println!("TRACKOPS_TEST_REDIS_URL={}", urls.redis);
    println!("TRACKOPS_TEST_KAFKA_BROKERS={}", urls.kafka);
    eprintln!(
        "\nTrackOps runs on them with
export TRACKOPS_ORDERS_DATABASE_URL={postgres}/trackops_orders
export TRACKOPS_INVENTORY_DATABASE_URL={postgres}/trackops_inventory
export TRACKOPS_KAFKA_BROKERS={kafka} TRACKOPS_REDIS_URL={redis}
stop them by: cargo xtask services down",
        postgres = urls.postgres,
        kafka = urls.kafka,
        redis = urls.redis,
    );
    Ok(())
}

/// Starts the servers that don't run.
pub fn up_all() -> Result<Urls> {
    need::servers()?;
    let dir = services_dir()?;
    Ok(Urls {
        postgres: up_one::<PostgresLaunch>(&dir)?,
        redis: up_one::<RedisLaunch>(&dir)?,
        kafka: up_one::<KafkaLaunch>(&dir)?,
    })
}

/// Stops the running servers; the data stays.
pub fn down() -> Result<()> {
    let dir = services_dir()?;
    down_one::<KafkaLaunch>(&dir)?;
    down_one::<RedisLaunch>(&dir)?;
    down_one::<PostgresLaunch>(&dir)
}

/// Prints which servers run, and where.
pub fn status() -> Result<()> {
    let dir = services_dir()?;
    println!("data in {}", dir.display());
    status_of::<PostgresLaunch>(&dir);
    status_of::<RedisLaunch>(&dir);
    status_of::<KafkaLaunch>(&dir);
    Ok(())
}

fn up_one<L: Launch>(dir: &Path) -> Result<String> {
    let dir = dir.join(L::NAME);
    let (mut server, mut how) = match Server::<L>::attach(&dir) {
        Some(server) => (server, "already running"),
        None => (Server::<L>::start(&dir, 0)?, "started"),
    };
    // A busy machine may delay one try; a dead server refuses every try at once.
    if !(0..LOOKS_MAX).any(|_| server.is_ready()) {
        server.restart()?;
        how = "restarted, because it didn't answer";
    }
    eprintln!("{:<9} 127.0.0.1:{:<6} {how}", L::NAME, server.port());
    let url = server.url();
    server.detach();
    Ok(url)
}

fn down_one<L: Launch>(dir: &Path) -> Result<()> {
    match Server::<L>::attach(&dir.join(L::NAME)) {
        Some(mut server) => {
            server.stop()?;
            eprintln!("{:<9} stopped", L::NAME);
        }
        None => eprintln!("{:<9} wasn't running", L::NAME),
    }
    Ok(())
}

fn status_of<L: Launch>(dir: &Path) {
    let Some(server) = Server::<L>::attach(&dir.join(L::NAME)) else {
        println!("{:<9} not running", L::NAME);
        return;
    };
    let answers = if server.is_ready() {
        "answers"
    } else {
        "doesn't answer"
    };
    let pid = server.pid().unwrap_or_default();
    println!(
        "{:<9} 127.0.0.1:{:<6} process {pid}, {answers}",
        L::NAME,
        server.port()
    );
    server.detach();
}

/// The folder of the data. It is created if needed, and refused if another user owns it.
pub fn services_dir() -> Result<PathBuf> {
    let dir = match env::var_os("TRACKOPS_SERVICES_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => default_dir(cargo::workspace()),
    };
    if !dir.exists() {
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    }
    if fs::metadata(&dir)?.uid() != fs::metadata("/proc/self")?.uid() {
        bail!(
            "{} belongs to another user: set TRACKOPS_SERVICES_DIR",
            dir.display()
        );
    }
    Ok(dir)
}

/// The default folder. It isn't below the clone, because PostgreSQL's user can't reach a home that only root
/// may enter.
fn default_dir(workspace: &Path) -> PathBuf {
    let hash = fnv1a(workspace.as_os_str().as_encoded_bytes());
    PathBuf::from(format!("/var/tmp/trackops-services-{hash:016x}"))
}

/// FNV-1a, 64 bits: the same in every release of Rust, as `DefaultHasher` needn't be.
fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_matches_its_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
