//! What a system costs that nobody asks anything.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::reading::{Reading, Servers};
use super::roles::Roles;
use crate::numbers::to_f64;
use crate::system::{Deployment, Settings};

/// CPU time of each process in percent of a core, and transactions a second.
#[derive(Clone, Debug, Serialize)]
pub struct Rest {
    pub seconds: f64,
    pub core_percent: BTreeMap<&'static str, f64>,
    pub transactions_per_second: f64,
}

/// Looks at the running roles for a while. Before that they rest: backends that have become idle report
/// their transactions up to 10 s late.
pub async fn measure(
    settings: &Settings,
    deployment: &Deployment<'_>,
    roles: &Roles,
) -> Result<Rest> {
    let servers = Servers::find(settings)?;
    let (settle, window) = settings.pick((2, 3), (12, 15));
    tokio::time::sleep(Duration::from_secs(settle)).await;
    let before = Reading::take(deployment, roles, &servers).await?;
    tokio::time::sleep(Duration::from_secs(window)).await;
    let after = Reading::take(deployment, roles, &servers).await?;
    let seconds = (after.at - before.at).as_secs_f64();
    let used = after.processes.iter().filter_map(|(name, after)| {
        let used = after - before.processes.get(name)?;
        Some((*name, used * 100.0 / seconds))
    });
    Ok(Rest {
        seconds,
        core_percent: used.collect(),
        transactions_per_second: to_f64(after.commits.saturating_sub(before.commits)) / seconds,
    })
}

impl Rest {
    /// One line for a person.
    pub fn describe(&self) -> String {
        let parts = self.core_percent.iter();
        let mut parts: Vec<_> = parts
            .map(|(name, percent)| format!("{name} {percent:.1} %"))
            .collect();
        parts.push(format!(
            "{:.1} transactions/s",
            self.transactions_per_second
        ));
        parts.join(", ")
    }
}
