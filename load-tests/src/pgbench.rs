//! The baseline: pgbench doing the three inserts of an order in one transaction,
//! with prepared statements, at its best number of clients, in its own database.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::load::{Latencies, Summary};
use crate::numbers::micros;
use crate::order;
use crate::report::Section;
use crate::system::{Databases, Settings, execute, scalar};

const SCHEMA: &str = include_str!("../pgbench/schema.sql");
const SCRIPT: &str = include_str!("../pgbench/place.sql");
const CLIENTS: [u32; 4] = [8, 16, 32, 64];

/// The baseline's figures.
pub struct Baseline {
    url: String,
    clients: u32,
    sweep: Vec<(u32, f64)>,
    confirmed: Vec<Run>,
}

/// One run of pgbench.
struct Run {
    transactions: u64,
    per_second: f64,
    latency: Summary,
}

/// Looks for the best number of clients.
pub async fn sweep(settings: &Settings, databases: &Databases) -> Result<Baseline> {
    let url = databases.create(settings, "pgbench").await?;
    execute(&url, SCHEMA).await?;
    let mut sweep = Vec::new();
    let mut transactions = 0;
    for clients in CLIENTS {
        let run = run_once(settings, &url, clients, settings.pick(2, 8)).await?;
        eprintln!(
            "  pgbench, {clients} clients: {:.0}/s, p99 {:.1} ms",
            run.per_second, run.latency.p99_ms
        );
        sweep.push((clients, run.per_second));
        transactions += run.transactions;
    }
    let best = sweep
        .iter()
        .max_by(|left, right| left.1.total_cmp(&right.1))
        .context("four runs")?;
    let rows = scalar(&url, "SELECT count(*) FROM outbox").await?;
    ensure!(
        rows == transactions,
        "pgbench counts {transactions} transactions, the outbox has {rows} rows"
    );
    Ok(Baseline {
        url,
        clients: best.0,
        sweep,
        confirmed: Vec::new(),
    })
}

impl Baseline {
    /// What the long runs reached, transactions a second.
    pub fn rates(&self) -> Vec<f64> {
        self.confirmed.iter().map(|run| run.per_second).collect()
    }

    /// A long run at the best number of clients.
    pub async fn repeat(&mut self, settings: &Settings) -> Result<()> {
        let run = run_once(settings, &self.url, self.clients, settings.pick(3, 20)).await?;
        eprintln!(
            "  pgbench, {} clients for long: {:.0}/s",
            self.clients, run.per_second
        );
        self.confirmed.push(run);
        Ok(())
    }

    /// The section of the report.
    pub fn section(&self) -> Section {
        let mut section = Section::new("baseline: pgbench, three inserts in BEGIN…END");
        for (clients, per_second) in &self.sweep {
            section.row(format!("{clients} clients"), format!("{per_second:.0}/s"));
        }
        for run in &self.confirmed {
            section.row(
                format!("{} clients, long run", self.clients),
                format!("{:.0}/s", run.per_second),
            );
            section.latency("  its latency", &run.latency);
        }
        section.note("-M prepared, -j 2, closed loop; long runs and ours alternate, the medians are compared");
        let confirmed: Vec<_> = self
            .confirmed
            .iter()
            .map(|run| json!({"perSecond": run.per_second, "latency": run.latency}))
            .collect();
        section.data =
            json!({"clients": self.clients, "sweep": self.sweep, "confirmed": confirmed});
        section
    }
}

async fn run_once(settings: &Settings, url: &str, clients: u32, seconds: u64) -> Result<Run> {
    let folder = std::env::temp_dir().join(format!(
        "{}-pgbench-{}",
        settings.tag,
        rand::random::<u32>()
    ));
    fs::create_dir_all(&folder)?;
    let result = run_in(&folder, settings, url, clients, seconds).await;
    fs::remove_dir_all(&folder)?;
    result
}

async fn run_in(
    folder: &Path,
    settings: &Settings,
    url: &str,
    clients: u32,
    seconds: u64,
) -> Result<Run> {
    let script = folder.join("place.sql");
    fs::write(&script, SCRIPT)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let mut command = Command::new(settings.pgbench());
    command.args([
        "-n",
        "-M",
        "prepared",
        "-j",
        "2",
        "-l",
        "--sampling-rate=0.1",
    ]);
    command.args(["-c", &clients.to_string(), "-T", &seconds.to_string()]);
    command
        .arg("-f")
        .arg(&script)
        .arg("--log-prefix")
        .arg(folder.join("latency"));
    command.arg("-D").arg(format!("n={}", micros(now)));
    for (name, json) in documents() {
        command.arg("-D").arg(format!("{name}={json}"));
    }
    let output = command
        .arg(url)
        .kill_on_drop(true)
        .output()
        .await
        .context("start pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "pgbench: {}\n{errors}",
        output.status
    );
    let transactions = find_number(&text, "number of transactions actually processed: ")?;
    let failed = find_number(&text, "number of failed transactions: ")?;
    ensure!(failed == 0.0, "{failed} transactions of pgbench failed");
    let per_second = find_number(&text, "tps = ")?;
    let latency = read_latencies(folder)?;
    Ok(Run {
        transactions: crate::numbers::to_u64(transactions),
        per_second,
        latency,
    })
}

/// What the three rows carry, as long as what `TrackOps` stores and publishes.
fn documents() -> [(&'static str, String); 3] {
    let order = order::body(1, &uuid::Uuid::new_v4().to_string());
    let id = uuid::Uuid::new_v4();
    let payload = format!(
        r#"{{"orderId":"{id}","version":1,"status":"PENDING","totalAmount":4700,"createdAt":"2026-01-01T12:00:00.123456Z",{}"#,
        &order[1..]
    );
    [
        (
            "saga",
            r#"{"v":1,"stock":"REQUESTED","askedAgain":0}"#.to_owned(),
        ),
        ("data", format!(r#"{{"v":1,"content":{order}}}"#)),
        ("payload", payload),
    ]
}

/// The number after `label`, up to the next space or end of line.
fn find_number(text: &str, label: &str) -> Result<f64> {
    let rest = text.split_once(label).map(|(_, rest)| rest);
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("pgbench printed no \"{label}\":\n{text}"))
}

/// The third field of each line of pgbench's log is the latency in microseconds.
fn read_latencies(folder: &Path) -> Result<Summary> {
    let mut latencies = Latencies::new();
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let is_log = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("latency"));
        if !is_log {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let micros = line.split(' ').nth(2).and_then(|field| field.parse().ok());
            latencies.record(Duration::from_micros(
                micros.context("pgbench's log has another form")?,
            ));
        }
    }
    Ok(latencies.summary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_pgbench_prints() {
        let text = "number of transactions actually processed: 1234\n\
            number of failed transactions: 0 (0.000%)\ntps = 617.5 (without initial connection time)\n";
        assert!((find_number(text, "tps = ").expect("there") - 617.5).abs() < 1e-9);
        assert!(find_number(text, "processed: ").expect("there") > 1233.0);
        assert!(find_number(text, "absent ").is_err());
    }
}
