//! Wires ports to adapters and roles to ports: the only file that names adapters.

use std::path::PathBuf;

use crate::cli::args::{DevArgs, Role};

/// `trackops dev`.
#[expect(clippy::unused_async, reason = "servers run in it")]
pub async fn run_dev(_args: DevArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// `trackops order|inventory|relay`.
#[expect(clippy::unused_async, reason = "servers run in it")]
pub async fn run_role(
    _role: Role,
    _config: Option<PathBuf>,
    _listen: Option<String>,
) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// `trackops migrate`.
#[expect(clippy::unused_async, reason = "databases are talked to")]
pub async fn migrate(_config: Option<PathBuf>) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
