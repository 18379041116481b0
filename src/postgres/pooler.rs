//! Whether a connection is a session. Behind a pooler that gives each transaction another one, what is set
//! doesn't stay set, locks and prepared statements are lost, and notifications come to somebody else.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

/// What to do where it isn't one.
pub(super) const ADVICE: &str = "a pooler gives each transaction another session: set pool_mode = session for this \
                                 database in PgBouncer, or use PostgreSQL's own address";

/// Looks at the processes behind two connections. The pooler's other clients can spoil one look, by taking
/// just the session that would have told, but hardly all.
const LOOKS: u32 = 4;

/// Whether the server process behind a connection stays the same, and is nobody else's.
pub(super) async fn has_sessions(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    for _ in 0..LOOKS {
        let before = backend(&mut one).await?;
        // Whoever lends sessions by the transaction lends the one that has just become free.
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
    // The looks are over, whatever becomes of the connections.
    let _ = tokio::join!(one.close(), other.close());
    Ok(true)
}

/// Not prepared: a pooler may not know of prepared statements.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// `pool_mode = statement` has no transactions at all.
fn is_refused_by_pooler(error: &sqlx::Error) -> bool {
    let refused = error.as_database_error();
    refused.is_some_and(|refused| refused.message().contains("pooling mode"))
}
