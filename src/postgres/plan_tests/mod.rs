//! No statement's plan may depend on what the statistics say: a plan is made once and used for long, and
//! autovacuum counts a table at any moment, also while it happens to be empty. The server itself
//! (`auto_explain`) reports the plan of every statement that an adapter runs, also inside functions, while
//! the tables are empty, full, and full of dead rows.
//!
//! Each role has a file that says how to fill the tables and which calls to make.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod explain;
mod inventory;
mod orders;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use trackops_cluster::ShardCount;
use uuid::Uuid;

use super::{Database, Kind, Settings, migrate, url};
use explain::Explained;

/// The server's settings for every connection of the adapters under test.
const EXPLAIN: [(&str, &str); 6] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_nested_statements", "on"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_format", "json"),
    ("auto_explain.log_level", "notice"),
];

/// Both kinds of plan: made for the arguments of one call, and made once for any.
const MODES: [&str; 2] = ["force_custom_plan", "force_generic_plan"];

/// How a role's tables are brought into the states in which its statements are checked.
pub(super) struct Tables {
    /// The database of the tables.
    pub kind: Kind,
    /// Fills the tables: some ten thousand rows in each that grows.
    pub fill: &'static str,
    /// Removes the rows that live only for a moment, as after a burst.
    pub drain: &'static str,
}

/// A database of its own, dropped at the end.
struct Scratch {
    server: String,
    name: String,
}

impl Scratch {
    async fn migrated(kind: Kind) -> Self {
        let server = std::env::var("TRACKOPS_TEST_POSTGRES_URL")
            .expect("TRACKOPS_TEST_POSTGRES_URL must name a PostgreSQL server");
        let scratch = Self {
            server: server.trim_end_matches('/').into(),
            name: format!("trackops_test_{}", Uuid::new_v4().simple()),
        };
        migrate(&scratch.url(), kind, true, ShardCount::DEFAULT)
            .await
            .unwrap();
        scratch
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The adapters, with every statement explained.
    fn explained(&self, kind: Kind, mode: &str) -> Database {
        let options = EXPLAIN.into_iter().chain([("plan_cache_mode", mode)]);
        let options: Vec<String> = options
            .map(|(name, value)| format!("options[{name}]={value}"))
            .collect();
        let url = format!("{}?{}", self.url(), options.join("&"));
        Database::open(&url, kind, Settings::default()).unwrap()
    }

    async fn run(&self, sql: &'static str) {
        let options = url::options(&self.url()).unwrap();
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn dropped(self) {
        let url = format!("{}/postgres", self.server);
        let mut session = PgConnection::connect(&url).await.unwrap();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(drop))
            .execute(&mut session)
            .await
            .unwrap();
    }
}

/// Runs `calls` on the adapters in every state of `tables` and with both kinds of plan. Fails at each
/// statement that scanned a table or could have. `calls` must leave the number of rows about the same.
pub(super) async fn no_plan_depends_on_statistics(tables: &Tables, calls: impl AsyncFn(Database)) {
    let mut faults = Vec::new();
    let scratch = Scratch::migrated(tables.kind).await;
    let states = [
        ("empty and never counted", ""),
        ("empty and counted", "ANALYZE"),
        ("full, and counted while empty", tables.fill),
        ("full and counted", "ANALYZE"),
        ("drained, and counted while full", tables.drain),
        ("drained and counted", "ANALYZE"),
    ];
    for (state, sql) in states {
        scratch.run(sql).await;
        for mode in MODES {
            let explained = Explained::listen();
            calls(scratch.explained(tables.kind, mode)).await;
            let plans = explained.plans();
            assert!(!plans.is_empty(), "nothing was explained");
            for plan in plans {
                let found = plan.faults();
                if !found.is_empty() {
                    let found = found.join("; ");
                    faults.push(format!("{state}, {mode}: {found}\n{}", plan.statement()));
                }
            }
        }
    }
    scratch.dropped().await;
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
