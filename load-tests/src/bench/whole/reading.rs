//! Everything that is counted, at one moment. What came between two moments makes a line of the table.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;

use super::roles::Roles;
use crate::bench::checks::{CONFIRMED, PLACED, SETTLED, TRANSITIONS};
use crate::system::{
    Deployment, LogEnds, MachineTimes, Metrics, ProcessTable, Settings, listening_at,
};

/// The processes of the servers, where they are on this machine.
#[derive(Clone, Debug)]
pub struct Servers {
    pub postgres: Option<u32>,
    pub kafka: Option<u32>,
    pub redis: Option<u32>,
}

/// One look at everything.
pub struct Reading {
    /// When the processes were looked at.
    pub at: Instant,
    /// CPU seconds of each process with its children; those on other machines are missing.
    pub processes: BTreeMap<&'static str, f64>,
    pub machine: MachineTimes,
    pub log_ends: Option<LogEnds>,
    pub commits: u64,
    /// When the orders were counted.
    pub counted_at: Instant,
    /// Orders placed and confirmed, as the order role counts since its start.
    pub placed: f64,
    pub confirmed: f64,
    /// Left PENDING behind them, confirmed or not.
    pub settled: f64,
    pub order: Metrics,
    pub relay: Metrics,
    pub inventory: Metrics,
}

impl Servers {
    /// Looks who listens where the settings say.
    pub fn find(settings: &Settings) -> Result<Self> {
        let servers = Self {
            postgres: listening_at(&settings.postgres("postgres")?),
            kafka: listening_at(&settings.kafka()?),
            redis: listening_at(&settings.redis()?),
        };
        if servers.names().len() < 3 {
            eprintln!(
                "  not every server is on this machine: {servers:?}; the others' CPU time is left out"
            );
        }
        Ok(servers)
    }

    fn names(&self) -> Vec<(&'static str, u32)> {
        let all = [
            ("PostgreSQL", self.postgres),
            ("Kafka", self.kafka),
            ("Redis", self.redis),
        ];
        all.into_iter()
            .filter_map(|(name, pid)| Some((name, pid?)))
            .collect()
    }
}

impl Reading {
    /// Takes about 10 ms.
    pub async fn take(
        deployment: &Deployment<'_>,
        roles: &Roles,
        servers: &Servers,
    ) -> Result<Self> {
        let at = Instant::now();
        let table = ProcessTable::read();
        let machine = MachineTimes::read()?;
        let mut roots = servers.names();
        for role in roles.all() {
            roots.push((role_name(&role.name), role.pid()?));
        }
        let processes = roots
            .into_iter()
            .filter_map(|(name, pid)| Some((name, table.tree_seconds(pid)?)));
        let processes = processes.collect();
        let prefix = deployment.topic_prefix()?;
        let log_ends = servers.kafka.map(|pid| LogEnds::read(pid, prefix));
        let order = Metrics::read(&roles.order).await?;
        let counted_at = Instant::now();
        let count = |label| order.labelled(TRANSITIONS, label);
        Ok(Self {
            at,
            processes,
            machine,
            log_ends,
            commits: deployment.commits().await?,
            counted_at,
            placed: count(PLACED),
            confirmed: count(CONFIRMED),
            settled: count(SETTLED),
            relay: Metrics::read(&roles.relay).await?,
            inventory: Metrics::read(&roles.inventory).await?,
            order,
        })
    }
}

/// The name of a role's process in the table.
fn role_name(role: &str) -> &'static str {
    match role {
        "order" => "order",
        "relay" => "relay",
        _ => "inventory",
    }
}
