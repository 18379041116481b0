//! Which database, with how many connections, and how long calls may take. [`super::connections`] enforces
//! the limits.

use std::time::Duration;

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

/// How many connections, and how long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections for appends. Reads have others, so that they never wait behind an append. Four
    /// overlapping commits keep the disk busy; more only wait for each other in PostgreSQL.
    pub append_connections: u32,
    /// Connections for everything else. Half as many more serve pages of orders, which any client may ask
    /// for: loads of orders and health checks must not wait behind pages.
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
