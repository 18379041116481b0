//! The programs that a command needs besides Rust. Missing ones are installed on Debian as root, and
//! otherwise named in one line.

use anyhow::{Result, bail};
use xtask::servers::{find_on_path, find_postgres_program, find_server_program, is_root};

use crate::debian;

struct Need {
    program: &'static str,
    package: &'static str,
}

const COMPILERS: [Need; 3] = [
    Need {
        program: "cc",
        package: "gcc libc6-dev",
    },
    Need {
        program: "c++",
        package: "g++",
    },
    Need {
        program: "make",
        package: "make",
    },
];

const SERVERS: [Need; 4] = [
    Need {
        program: "java",
        package: "default-jre-headless",
    },
    Need {
        program: "mvn",
        package: "maven",
    },
    Need {
        program: "postgres",
        package: "postgresql",
    },
    Need {
        program: "redis-server",
        package: "redis-server",
    },
];

/// Proxies that the tests put between clients and this program, and between this program and its servers.
const BETWEEN: [Need; 2] = [
    Need {
        program: "nginx",
        package: "nginx",
    },
    Need {
        program: "pgbouncer",
        package: "pgbouncer",
    },
];

/// Compilers for the C code in some crates (rdkafka, jemalloc, `SQLite`).
pub fn compilers() -> Result<()> {
    all_of(COMPILERS.iter())
}

/// PostgreSQL, Redis, and the programs that fetch and run Kafka.
pub fn servers() -> Result<()> {
    all_of(SERVERS.iter())
}

/// The programs of [`servers`] and those that only tests need.
pub fn test_servers() -> Result<()> {
    all_of(SERVERS.iter().chain(&BETWEEN))
}

fn all_of(needs: impl IntoIterator<Item = &'static Need>) -> Result<()> {
    let missing = needs.into_iter();
    let missing: Vec<&Need> = missing.filter(|need| !is_here(need.program)).collect();
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
    let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
    let (programs, packages) = (programs.join(", "), packages.join(" "));
    bail!("not found: {programs}. Install them first (on Debian: sudo apt-get install {packages})")
}

fn is_here(program: &str) -> bool {
    match program {
        "postgres" => find_postgres_program("postgres").is_ok(),
        "nginx" | "pgbouncer" => find_server_program(program).is_some(),
        other => find_on_path(other).is_some(),
    }
}
