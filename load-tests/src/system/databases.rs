//! Fresh databases, dropped at the end whatever happens in between.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::Settings;

/// The databases that this invocation made and hasn't dropped.
#[derive(Default)]
pub struct Databases(Mutex<Vec<String>>);

impl Databases {
    /// Makes the database `<tag>_<name>` and gives its URL.
    pub async fn create(&self, settings: &Settings, name: &str) -> Result<String> {
        let database = format!("{}_{name}", settings.tag);
        execute(
            &settings.postgres("postgres")?,
            &format!("CREATE DATABASE {database}"),
        )
        .await?;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(database.clone());
        settings.postgres(&database)
    }

    /// Drops everything that was made. Goes on after a failure and reports the last.
    pub async fn drop_all(&self, settings: &Settings) -> Result<()> {
        let names = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut result = Ok(());
        for name in names {
            let url = settings.postgres("postgres")?;
            let dropped = execute(
                &url,
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            )
            .await;
            if let Err(error) = dropped {
                eprintln!("database {name} is left: {error:#}");
                result = Err(error);
            }
        }
        result
    }
}

/// A connection to `url`.
async fn connect(url: &str) -> Result<PgConnection> {
    // The URL may hold a password and is kept out of the message.
    PgConnection::connect(url)
        .await
        .context("connect to PostgreSQL")
}

/// Runs `sql`, which may be several statements.
pub async fn execute(url: &str, sql: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    let statements = sqlx::raw_sql(AssertSqlSafe(sql));
    statements
        .execute(&mut connection)
        .await
        .with_context(|| format!("run: {sql}"))?;
    Ok(connection.close().await?)
}

/// The one value that `sql` selects, which must be text.
pub async fn show(url: &str, sql: &str) -> Result<String> {
    let mut connection = connect(url).await?;
    let value = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut connection)
        .await;
    connection.close().await?;
    value.with_context(|| format!("run: {sql}"))
}

/// The one number that `sql` selects, which must be a `bigint`.
pub async fn scalar(url: &str, sql: &str) -> Result<u64> {
    let mut connection = connect(url).await?;
    let value: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut connection)
        .await
        .with_context(|| format!("run: {sql}"))?;
    connection.close().await?;
    u64::try_from(value).with_context(|| format!("{sql} gave {value}"))
}
