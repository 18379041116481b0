//! Brings PostgreSQL's log into the state of a server that has run for a while.

use anyhow::Result;

use crate::system::{Settings, execute};

/// Gives the server the log files of one that has run for a while. A new one fills each file of 16 MiB
/// with zeros when it is first needed, which stops every commit for 50 to 100 ms, twice a second at
/// these rates; after a checkpoint old files are used again. The server keeps them if its
/// `min_wal_size` says so.
pub async fn prepare(settings: &Settings) -> Result<()> {
    let url = settings.postgres("postgres")?;
    let switches = settings.pick(16, 250);
    let switch = "DO $$ BEGIN FOR i IN 1..$n LOOP \
        PERFORM pg_logical_emit_message(true, 'bench', 'x'); PERFORM pg_switch_wal(); \
        END LOOP; END $$";
    execute(&url, &switch.replace("$n", &switches.to_string())).await?;
    checkpoint(settings).await
}

/// What one part wrote is flushed before the next is measured: each pays for its own pages.
pub async fn checkpoint(settings: &Settings) -> Result<()> {
    execute(&settings.postgres("postgres")?, "CHECKPOINT").await
}
