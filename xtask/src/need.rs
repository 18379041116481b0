//! The programs that a command needs beside Rust: looked for, installed on Debian when
//! root, and otherwise named in one line.

use anyhow::{Result, bail};
use xtask::servers::{find_on_path, find_postgres_program, find_server_program, is_root};

use crate::debian;

#[derive(Debug, PartialEq, Eq)]
struct Need {
    program: &'static str,
    package: &'static str,
    /// The end of the variable by which a caller names a server that runs already.
    variable: Option<&'static str>,
}

const fn need(
    program: &'static str,
    package: &'static str,
    variable: Option<&'static str>,
) -> Need {
    Need {
        program,
        package,
        variable,
    }
}

const COMPILERS: [Need; 3] = [
    need("cc", "gcc libc6-dev", None),
    need("c++", "g++", None),
    need("make", "make", None),
];

const SERVERS: [Need; 4] = [
    need("java", "default-jre-headless", Some("KAFKA_BROKERS")),
    need("mvn", "maven", Some("KAFKA_BROKERS")),
    need("postgres", "postgresql", Some("POSTGRES_URL")),
    need("redis-server", "redis-server", Some("REDIS_URL")),
];

/// What the tests put between clients and this program, and between it and its servers.
const BETWEEN: [Need; 2] = [
    need("nginx", "nginx", None),
    need("pgbouncer", "pgbouncer", None),
];

const OPENSSL: [Need; 1] = [need("openssl", "openssl", None)];

/// What runs the tools that read the API's documents.
const CONTRACT_TOOLS: [Need; 4] = [
    need("chromium", "chromium", None),
    need("node", "nodejs", None),
    need("npm", "npm", None),
    need("python3", "python3 python3-venv", None),
];

/// What the contract tools run on: Node 20 or later, and Python 3.10 or later.
pub fn contract_tools() -> Result<()> {
    all_of(CONTRACT_TOOLS.iter())
}

/// What compiles the C in some crates (rdkafka, jemalloc, `SQLite`).
pub fn compilers() -> Result<()> {
    all_of(COMPILERS.iter())
}

/// What makes the certificates of the tests of TLS.
pub fn openssl() -> Result<()> {
    all_of(OPENSSL.iter())
}

/// PostgreSQL, Redis, and what fetches and runs Kafka.
pub fn servers() -> Result<()> {
    all_of(SERVERS.iter())
}

/// What the tests need: all of them, or (unless `whole`) some that nobody knows yet.
///
/// A program whose server the caller has named isn't asked for. Some tests start servers of their own all
/// the same: see [`lacking`].
pub fn test_servers(is_named: impl Fn(&str) -> bool, whole: bool) -> Result<()> {
    all_of(of_tests(is_named, whole).0)
}

/// The programs that aren't here and needn't be, because the caller has named their servers.
pub fn lacking(is_named: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let absent = missing(of_tests(is_named, true).1);
    absent.iter().map(|need| need.program).collect()
}

/// Whether Kafka can be fetched and run here.
pub fn has_java() -> bool {
    let of_kafka = |need: &&Need| need.variable == Some("KAFKA_BROKERS");
    missing(SERVERS.iter().filter(of_kafka)).is_empty()
}

/// What the tests can't do without, and what only some of them may need.
fn of_tests(
    is_named: impl Fn(&str) -> bool,
    whole: bool,
) -> (Vec<&'static Need>, Vec<&'static Need>) {
    let is_needed = |need: &&Need| need.variable.map_or(whole, |variable| !is_named(variable));
    SERVERS.iter().chain(&BETWEEN).partition(is_needed)
}

fn all_of(needs: impl IntoIterator<Item = &'static Need>) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.package.split(' '))
        .collect();
    if is_root() && debian::is_here() {
        return debian::install(&packages);
    }
    let (programs, packages) = (programs(&missing), packages.join(" "));
    bail!("not found: {programs}. Install them first (on Debian: sudo apt-get install {packages})")
}

fn missing(needs: impl IntoIterator<Item = &'static Need>) -> Vec<&'static Need> {
    let needs = needs.into_iter();
    needs.filter(|need| !is_here(need.program)).collect()
}

fn programs(needs: &[&Need]) -> String {
    let programs: Vec<&str> = needs.iter().map(|need| need.program).collect();
    programs.join(", ")
}

fn is_here(program: &str) -> bool {
    match program {
        "postgres" => find_postgres_program("postgres").is_ok(),
        "nginx" | "pgbouncer" => find_server_program(program).is_some(),
        other => find_on_path(other).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(named: &[&str], whole: bool) -> String {
        programs(&of_tests(|variable| named.contains(&variable), whole).0)
    }

    #[test]
    fn a_server_that_is_named_is_not_asked_for() {
        let all = ["POSTGRES_URL", "REDIS_URL", "KAFKA_BROKERS"];
        assert_eq!(
            needed(&[], true),
            "java, mvn, postgres, redis-server, nginx, pgbouncer"
        );
        assert_eq!(
            needed(&["KAFKA_BROKERS"], true),
            "postgres, redis-server, nginx, pgbouncer"
        );
        assert_eq!(needed(&all, true), "nginx, pgbouncer");
        assert_eq!(needed(&all, false), "");
        assert_eq!(needed(&[], false), "java, mvn, postgres, redis-server");
    }
}
