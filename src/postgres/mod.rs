//! Journal, outbox, stock and membership on PostgreSQL 15 or later, and the migrations of both
//! databases. Every statement is a static string; every call ends in bounded time, here and in the
//! server.

mod access;
mod append;
mod cluster_view;
mod connections;
mod error;
mod journal;
mod listener;
mod membership;
mod migrate;
mod migrations;
mod outbox;
mod outbox_marks;
#[cfg(test)]
mod outbox_plan_tests;
mod outbox_rows;
#[cfg(test)]
mod parsing_tests;
#[cfg(test)]
mod plan_tests;
mod pooler;
mod retention;
mod sagas;
mod settings;
mod stock;
mod stock_apply;
mod stock_items;
mod stock_keys;
mod stock_rows;
mod types;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use connections::{Connections, Limits, ServerGeneration};
use url::DatabaseOptions;

pub use access::PgAccess;
pub use journal::PgJournal;
pub use membership::PgMembership;
pub use migrate::{MigrateError, Migrated, SchemaState, migrate};
pub use outbox::PgOutbox;
pub use retention::PgRetention;
pub use sagas::PgSagas;
pub use settings::{Kind, Settings};
pub use stock::PgStock;
pub use url::OpenError;

/// One database. Connects when it is first used, and again whenever it has to.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    options: DatabaseOptions,
    settings: Settings,
    turns: ServerGeneration,
    /// Set once shards were seen, and not asked for again.
    has_shards: Arc<AtomicBool>,
    has_sessions: Arc<AtomicBool>,
    reads: Arc<Connections>,
    lists: Arc<Connections>,
    writes: Arc<Connections>,
}

/// Connections for keys and audit. Most requests find their key in memory.
const ACCESS_CONNECTIONS: u32 = 2;

impl Database {
    /// The database at `url` (`postgres://…`). Doesn't connect yet.
    pub fn open(url: &str, kind: Kind, settings: Settings) -> Result<Self, OpenError> {
        let options = url::options(url)?;
        let reads = Limits {
            connections: settings.read_connections,
            acquire: settings.acquire,
            run: settings.read,
        };
        let lists = Limits {
            connections: (settings.read_connections / 2).max(1),
            ..reads
        };
        let writes = Limits {
            connections: settings.append_connections,
            acquire: settings.acquire,
            run: settings.write,
        };
        let turns = ServerGeneration::default();
        let connections =
            |limits| Arc::new(Connections::new(options.clone(), limits, turns.clone()));
        Ok(Self {
            kind,
            reads: connections(reads),
            lists: connections(lists),
            writes: connections(writes),
            options,
            settings,
            turns,
            has_shards: Arc::default(),
            has_sessions: Arc::default(),
        })
    }

    /// Which of the two databases it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Checks whether a pooler is in front that gives each transaction another session. If so, returns why
    /// the connections can't be used; success is remembered.
    pub async fn session_trouble(
        &self,
    ) -> Result<Option<&'static str>, crate::ports::journal::BoxError> {
        if self.has_sessions.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // A healthy server answers these few statements at once.
        let looked = tokio::time::timeout(self.settings.read, pooler::has_sessions(&self.options));
        match looked.await {
            Ok(Ok(true)) => {
                self.has_sessions.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Ok(Ok(false)) => Ok(Some(pooler::ADVICE)),
            Ok(Err(error)) if migrate::is_missing(&error) => Ok(None),
            Ok(Err(error)) => Err(error.into()),
            Err(late) => Err(late.into()),
        }
    }

    /// Whether this program can work with the database's schema.
    pub async fn schema_state(&self) -> Result<SchemaState, crate::ports::journal::BoxError> {
        migrate::schema_state(&self.reads, self.kind, &self.has_shards).await
    }

    /// The journal (of the orders' database).
    pub fn journal(&self) -> PgJournal {
        PgJournal::new(
            Arc::clone(&self.writes),
            Arc::clone(&self.reads),
            Arc::clone(&self.lists),
        )
    }

    /// The outbox, with connections of its own: each call makes new ones.
    pub fn outbox(&self) -> PgOutbox {
        let one = || {
            let limits = Limits {
                connections: 1,
                acquire: self.settings.acquire,
                run: self.settings.read,
            };
            Connections::new(self.options.clone(), limits, self.turns.clone())
        };
        PgOutbox::new(self.kind, one, self.settings.read, self.options.clone())
    }

    /// The stock (of the inventory's database).
    pub fn stock(&self) -> PgStock {
        PgStock::new(Arc::clone(&self.writes), Arc::clone(&self.reads))
    }

    /// Removes its old rows.
    pub fn retention(&self) -> PgRetention {
        PgRetention::new(self.kind, Arc::clone(&self.lists))
    }

    /// Keys and audit (of the orders' database), with connections of their own: each call makes new ones.
    pub fn access(&self) -> PgAccess {
        let limits = Limits {
            connections: ACCESS_CONNECTIONS,
            acquire: self.settings.acquire,
            run: self.settings.read,
        };
        let connections = Connections::new(self.options.clone(), limits, self.turns.clone());
        PgAccess::new(Arc::new(connections))
    }

    /// The waiting sagas (of the orders' database).
    pub fn sagas(&self) -> PgSagas {
        PgSagas::new(Arc::clone(&self.lists))
    }

    /// The authority over shards (of the orders' database), on a connection of its own: each call makes a new
    /// one. Must be called within the runtime that uses it.
    pub fn membership(&self) -> PgMembership {
        PgMembership::new(self.options.clone(), self.settings, self.turns.clone())
    }
}
