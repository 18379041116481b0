//! Checks whether a connection is a session of its own. Behind a pooler that gives each transaction another
//! session, settings don't last, locks and prepared statements are lost, and notifications reach another
//! client.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

/// What to do if it isn't one.
pub(super) const ADVICE: &str = "a pooler gives each transaction another session: set pool_mode = session for this \
                                 database in PgBouncer, or use PostgreSQL's own address";

/// How often the processes behind two connections are compared. The pooler's other clients can spoil one
/// comparison, by taking the very session that would have shown it, but hardly all.
const LOOKS: u32 = 4;

/// Whether the server process behind a connection stays the same and serves no other connection.
pub(super) async fn has_sessions(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    for _ in 0..LOOKS {
        let before = backend(&mut one).await?;
        // A pooler that lends sessions by the transaction would lend the one that has just become free.
        if let Err(error) = sqlx::raw_sql("BEGIN").execute(&mut other).await {
            return is_refused_by_pooler(&error).then_some(false).ok_or(error);
        }
        let during = backend(&mut other).await?;
        let after = backend(&mut one).await?;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await?;
        if during == before || after != before {
            return Ok(false);
        }
    }
    // The result is known, so errors at closing don't matter.
    let _ = tokio::join!(one.close(), other.close());
    Ok(true)
}

/// The server process behind a connection. The statement isn't prepared, because a pooler may not support
/// prepared statements.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// Whether a pooler refused `BEGIN`: `pool_mode = statement` allows no transactions.
fn is_refused_by_pooler(error: &sqlx::Error) -> bool {
    let refused = error.as_database_error();
    refused.is_some_and(|refused| refused.message().contains("pooling mode"))
}
