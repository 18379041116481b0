//! `trackops prune`: removes old settled rows from the configured databases, or from the file of a `dev`
//! that is not running.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::servers;
use crate::cli::args::PruneArgs;
use crate::config::Config;
use crate::embedded::Embedded;
use crate::ports::clock::{Clock as _, SystemClock};
use crate::ports::retention::{Mode, Retention};
use crate::postgres::Kind;
use crate::retention;

/// Prints a line for each table. A second Ctrl-C isn't needed: the first ends the run after a page.
pub(super) async fn run(config: Config, args: PruneArgs) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stopped.cancel();
        }
    });
    if let Some(dir) = &args.data_dir {
        anyhow::ensure!(dir.is_dir(), "there is no data directory {}", dir.display());
        let store = Embedded::open(dir, Arc::new(SystemClock)).await?;
        let pruned = each(&store.retention(), &args, &stop).await;
        store.close().await;
        return pruned;
    }
    let open = |url, kind| -> anyhow::Result<Arc<dyn Retention>> {
        let database = servers::open_database(url, kind, &config.stores)?;
        Ok(Arc::new(database.retention()))
    };
    let stores = [
        open(config.orders_database()?, Kind::Orders)?,
        open(config.inventory_database()?, Kind::Inventory)?,
    ];
    each(&stores, &args, &stop).await
}

async fn each(
    stores: &[Arc<dyn Retention>],
    args: &PruneArgs,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (mode, word) = if args.dry_run {
        (Mode::Count, "would be removed")
    } else {
        (Mode::Remove, "removed")
    };
    let before = retention::cutoff(SystemClock.now(), args.older_than);
    for store in stores {
        let totals = retention::prune(&**store, before, mode, stop).await?;
        for (table, rows) in totals {
            println!("{}: {rows} {word} from {table}", store.name());
        }
    }
    anyhow::ensure!(!stop.is_cancelled(), "stopped before the end");
    Ok(())
}
