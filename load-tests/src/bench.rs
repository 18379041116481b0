//! The benchmarks, one file each. Every one makes its own databases, starts the
//! roles it needs, and checks its answers against the rows before it reports.

mod checks;
mod cluster;
mod credentials;
mod embedded;
mod following;
mod lifecycle;
mod memory;
mod place;
mod placing;
mod push;
mod server_log;
mod soak;
mod sustained;
mod whole;

use anyhow::Result;
use clap::ValueEnum;
use tokio::process::Command;

use crate::report::Report;
use crate::system::{Databases, Redis, Settings, show};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Highest rate of placed orders, beside pgbench.
    Place,
    /// What API keys and access tokens cost.
    Credentials,
    /// Orders all the way to DELIVERED.
    Lifecycle,
    /// From commit to frame.
    Push,
    /// Bytes per idle order and socket.
    Memory,
    /// Several order replicas: forwarding, takeover, moves, one more at rest.
    Cluster,
    /// Highest rate of placed orders on `SQLite`.
    Embedded,
    /// What an order costs at each rate, the highest rates, and rest.
    Whole,
    /// Ten minutes of more than fits, and ten of placing at full speed.
    Sustained,
    /// Hours of orders, with memory and descriptors watched.
    Soak,
    /// All of them but `sustained` and `soak`.
    All,
}

const EACH: [What; 10] = [
    What::Place,
    What::Credentials,
    What::Lifecycle,
    What::Push,
    What::Memory,
    What::Cluster,
    What::Embedded,
    What::Whole,
    What::Sustained,
    What::Soak,
];

/// Runs `what`, prints the table, writes the report. A failure is reported after
/// the others have run; it makes the result an error.
pub async fn run(what: What, settings: &Settings, databases: &Databases) -> Result<()> {
    let mut report = Report::new(name(what), settings, versions(settings).await);
    let is_wanted = |each: &What| match what {
        // Twenty minutes and many gigabytes, or an hour: only who asks for them gets them.
        What::All => !matches!(each, What::Sustained | What::Soak),
        one => one == *each,
    };
    for each in EACH.into_iter().filter(is_wanted) {
        eprintln!("== {}", name(each));
        let found = match each {
            What::Place => place::run(settings, databases).await,
            What::Credentials => credentials::run(settings, databases).await,
            What::Lifecycle => lifecycle::run(settings, databases).await,
            What::Push => push::run(settings, databases).await,
            What::Memory => memory::run(settings, databases).await,
            What::Cluster => cluster::run(settings, databases).await,
            What::Embedded => embedded::run(settings).await,
            What::Whole => whole::run(settings, databases).await,
            What::Sustained => sustained::run(settings, databases).await,
            What::Soak => soak::run(settings, databases).await,
            What::All => continue,
        };
        report.add(name(each), found);
        if each != What::Embedded {
            databases.drop_all(settings).await?;
        }
    }
    println!("{}", report.table());
    println!("{}", report.write(settings)?.display());
    anyhow::ensure!(!report.has_failed(), "not every benchmark came to an end");
    Ok(())
}

fn name(what: What) -> &'static str {
    match what {
        What::Place => "place",
        What::Credentials => "credentials",
        What::Lifecycle => "lifecycle",
        What::Push => "push",
        What::Memory => "memory",
        What::Cluster => "cluster",
        What::Embedded => "embedded",
        What::Whole => "whole",
        What::Sustained => "sustained",
        What::Soak => "soak",
        What::All => "all",
    }
}

/// What is asked and isn't there (embedded needs no servers) is left out.
async fn versions(settings: &Settings) -> Vec<(String, String)> {
    let mut versions = Vec::new();
    let mut add = |name: &str, value: String| versions.push((name.to_owned(), value));
    if let Ok(binary) = settings.binary() {
        add("trackops", program_version(&binary).await);
    }
    if let Some(before) = &settings.before {
        add("trackops before", before.display().to_string());
    }
    add("pgbench", program_version(&settings.pgbench()).await);
    if let Ok(url) = settings.postgres("postgres") {
        for setting in [
            "server_version",
            "fsync",
            "synchronous_commit",
            "shared_buffers",
            "max_wal_size",
        ] {
            let value = show(&url, &format!("SHOW {setting}")).await;
            add(
                &format!("PostgreSQL {setting}"),
                value.unwrap_or_else(|error| format!("{error:#}")),
            );
        }
    }
    if let Ok(redis) = settings.redis().and_then(|url| Redis::parse(&url)) {
        add(
            "Redis",
            redis
                .version()
                .await
                .unwrap_or_else(|error| format!("{error:#}")),
        );
    }
    // When the kernel writes back what the server hasn't flushed: in large bursts, flushes wait for them.
    for setting in [
        "dirty_background_ratio",
        "dirty_background_bytes",
        "dirty_expire_centisecs",
        "dirty_writeback_centisecs",
    ] {
        if let Ok(value) = std::fs::read_to_string(format!("/proc/sys/vm/{setting}")) {
            add(&format!("vm.{setting}"), value.trim().to_owned());
        }
    }
    versions
}

async fn program_version(program: &std::path::Path) -> String {
    match Command::new(program).arg("--version").output().await {
        Ok(output) => String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or("?")
            .to_owned(),
        Err(error) => format!("{}: {error}", program.display()),
    }
}
