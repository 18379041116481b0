//! Fresh databases, dropped at the end whatever happens in between.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::timeout;

/// Databases of one deployment, dropped with this value.
pub struct Databases {
    server: String,
    names: Vec<String>,
}

impl Databases {
    /// None yet, on `server`.
    pub fn on(server: &str) -> Self {
        Self {
            server: server.trim_end_matches('/').into(),
            names: Vec::new(),
        }
    }

    /// Makes one and gives its URL.
    pub async fn create(&mut self, name: &str) -> String {
        execute(&self.url("postgres"), &format!("CREATE DATABASE {name}"))
            .await
            .expect("create a database");
        self.names.push(name.into());
        self.url(name)
    }

    /// The URL of a database. What follows a `?` in the server's stays at the end.
    fn url(&self, name: &str) -> String {
        match self.server.split_once('?') {
            Some((server, parameters)) => format!("{server}/{name}?{parameters}"),
            None => format!("{}/{name}", self.server),
        }
    }
}

/// What stands between this and the server may be part of the test that ends.
const DROP_LIMIT: Duration = Duration::from_secs(10);

impl Drop for Databases {
    fn drop(&mut self) {
        let (admin, names) = (self.url("postgres"), std::mem::take(&mut self.names));
        // The test's own runtime may be the one that drops this, and can't be blocked on.
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                for name in names {
                    // A server of the test's own may be gone already, and its data with it.
                    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    let dropped = timeout(DROP_LIMIT, execute(&admin, &drop));
                    dropped.await.ok()?.ok()?;
                }
                Some(())
            })
        });
        // Left over at worst.
        let _ = dropper.join();
    }
}

/// A connection of the test's own.
pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .expect("connect to PostgreSQL")
}

/// Runs one statement.
pub async fn execute(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// The one number that `sql` selects as a `bigint`.
pub async fn number(url: &str, sql: &str) -> i64 {
    let mut connection = connect(url).await;
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}
