//! Journal, outbox, stock and membership on PostgreSQL 15 or later, and the migrations of both
//! databases. Every statement is a static string; every call ends in bounded time, here and in the
//! server.

mod append;
mod cluster_view;
mod connections;
mod error;
mod journal;
mod listener;
mod membership;
mod migrate;
mod outbox;
mod outbox_marks;
#[cfg(test)]
mod outbox_plan_tests;
mod outbox_rows;
#[cfg(test)]
mod plan_tests;
mod pooler;
mod retention;
mod sagas;
mod stock;
mod stock_apply;
mod stock_items;
mod stock_keys;
mod stock_record;
mod stock_rows;
mod types;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use thiserror::Error;

use connections::{Connections, Limits, Turns};

pub use journal::PgJournal;
pub use membership::PgMembership;
pub use migrate::{MigrateError, Migrated, SchemaState, migrate};
pub use outbox::PgOutbox;
pub use retention::PgRetention;
pub use sagas::PgSagas;
pub use stock::PgStock;

/// Which of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The order role's: orders, events, shards, nodes, outbox.
    Orders,
    /// The inventory role's: items, reservations, outbox.
    Inventory,
}

impl Kind {
    /// The name in logs, metrics and the `source` attribute of messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Inventory => "inventory",
        }
    }
}

/// How many connections, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections for appends. Reads have others, so that they never wait behind an append. Four
    /// overlapping commits keep the disk busy; more only wait for each other in PostgreSQL.
    pub append_connections: u32,
    /// Connections for everything else; and half as many for pages of orders, which anyone may ask for
    /// at any length: loads of orders and looks at the database's health must not wait behind them.
    pub read_connections: u32,
    /// How long to wait for a free connection, and for a new one to be made.
    pub acquire: Duration,
    /// How long an append or a transaction may run before it is given up as lost.
    pub write: Duration,
    /// How long a read may run.
    pub read: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            append_connections: 4,
            read_connections: 8,
            acquire: Duration::from_secs(3),
            write: Duration::from_secs(10),
            read: Duration::from_secs(5),
        }
    }
}

/// Why a database can't be used at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL can't be understood. The library's words are left out: they repeat parts of it.
    #[error(
        "the database URL isn't of the form postgres://user:password@host:port/database, or a parameter of \
         it has no such value; what isn't a letter or a digit in a password is escaped, as in %40 for @"
    )]
    Url,
    /// The URL asks for TLS.
    #[error("sslmode={0} needs a build with the feature `tls`")]
    TlsNotBuilt(&'static str),
}

/// One database. Connects when it is first used, and again whenever it has to.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    options: PgConnectOptions,
    settings: Settings,
    turns: Turns,
    /// Once seen, not asked for again.
    has_shards: Arc<AtomicBool>,
    has_sessions: Arc<AtomicBool>,
    reads: Arc<Connections>,
    lists: Arc<Connections>,
    writes: Arc<Connections>,
}

impl Database {
    /// The database at `url` (`postgres://…`). Doesn't connect yet.
    pub fn open(url: &str, kind: Kind, settings: Settings) -> Result<Self, OpenError> {
        let options = connect_options(url)?;
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
        let turns = Turns::default();
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

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Looks once whether its connections are sessions: why they can't be used, if they aren't.
    pub async fn session_trouble(
        &self,
    ) -> Result<Option<&'static str>, crate::ports::journal::BoxError> {
        if self.has_sessions.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // Each of its few statements answers at once, or the server is away.
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

    /// Whether this program can work on it.
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

    /// The outbox, with connections of its own: each call makes others.
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

    /// What forgets its old rows.
    pub fn retention(&self) -> PgRetention {
        PgRetention::new(self.kind, Arc::clone(&self.lists))
    }

    /// The waiting sagas (of the orders' database).
    pub fn sagas(&self) -> PgSagas {
        PgSagas::new(Arc::clone(&self.lists))
    }

    /// The authority over shards (of the orders' database), on a connection of its own: each call
    /// makes another. To be called within the runtime that uses it.
    pub fn membership(&self) -> PgMembership {
        PgMembership::new(self.options.clone(), self.settings, self.turns.clone())
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = url::options(url)?;
    if !cfg!(feature = "tls") {
        match options.get_ssl_mode() {
            PgSslMode::Require => return Err(OpenError::TlsNotBuilt("require")),
            PgSslMode::VerifyCa => return Err(OpenError::TlsNotBuilt("verify-ca")),
            PgSslMode::VerifyFull => return Err(OpenError::TlsNotBuilt("verify-full")),
            _ => {}
        }
    }
    Ok(options
        .application_name("trackops")
        // A parameter of the start that poolers refuse, and that no number here needs.
        .extra_float_digits(None)
        .disable_statement_logging())
}
