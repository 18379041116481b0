//! Adapters that need no server: journal, outboxes, stock, bus and membership on one SQLite file in a locked
//! directory, and an in-process cache. Leaves to `app` which roles run on them.

mod access;
mod append;
mod bus;
pub mod cache;
mod db;
mod error;
mod file_health;
mod journal;
mod lanes;
mod membership;
mod outbox;
mod outbox_owner;
mod outbox_rows;
#[cfg(test)]
mod parsing_tests;
#[cfg(test)]
mod plan_tests;
mod retention;
mod sagas;
mod shared_clock;
mod stock;
mod text;
mod transactions;
mod writer;

use std::path::Path;
use std::sync::Arc;

use trackops_cluster::ShardCount;
use trackops_cluster::membership::Membership;

pub use self::error::OpenError;

use self::bus::{EmbeddedBus, Retention as BusRetention};
use self::db::Db;
use self::journal::SqliteJournal;
use self::membership::SingleNode;
use self::outbox::SqliteOutbox;
use self::outbox_owner::Owner;
use self::retention::{Half, SqliteRetention};
use self::stock::SqliteStock;
use crate::ports::access::AccessStore;
use crate::ports::bus::Bus;
use crate::ports::clock::Clock;
use crate::ports::groups::Groups;
use crate::ports::journal::Journal;
use crate::ports::outbox::Outbox;
use crate::ports::retention::Retention;
use crate::ports::sagas::Sagas;
use crate::ports::stock::StockStore;

/// All adapters of one node, on one file.
#[derive(Debug)]
pub struct Embedded {
    db: Arc<Db>,
    journal: Arc<SqliteJournal>,
    orders_outbox: Arc<SqliteOutbox>,
    inventory_outbox: Arc<SqliteOutbox>,
    stock: Arc<SqliteStock>,
    bus: Arc<EmbeddedBus>,
    membership: Arc<SingleNode>,
}

impl Embedded {
    /// Opens the store in `dir`, creating it if it isn't there; `dir` is locked until [`Self::close`] or the
    /// end of the process. Leases of an earlier process and its relays are ended: that process is gone,
    /// because it held the lock.
    pub async fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Database {
            dir: dir.into(),
            source: sqlx::Error::Configuration(source),
        };
        let db = Arc::new(Db::open(dir).await?);
        let orders_outbox = SqliteOutbox::new(Arc::clone(&db), Owner::Orders, Arc::clone(&clock));
        let inventory_outbox =
            SqliteOutbox::new(Arc::clone(&db), Owner::Inventory, Arc::clone(&clock));
        let (orders_outbox, inventory_outbox) =
            (Arc::new(orders_outbox), Arc::new(inventory_outbox));
        outbox::forget_leases(&db)
            .await
            .map_err(|e| failed(e.into()))?;
        let membership = SingleNode::start(Arc::clone(&db), ShardCount::DEFAULT)
            .await
            .map_err(|e| failed(e.into()))?;
        let bus = EmbeddedBus::start(Arc::clone(&db), Arc::clone(&clock), BusRetention::default())
            .await
            .map_err(|e| failed(e.into()))?;
        Ok(Self {
            journal: Arc::new(SqliteJournal::new(
                Arc::clone(&db),
                Arc::clone(&orders_outbox),
                Arc::clone(&clock),
            )),
            stock: Arc::new(SqliteStock::new(
                Arc::clone(&db),
                Arc::clone(&inventory_outbox),
                clock,
            )),
            membership: Arc::new(membership),
            orders_outbox,
            inventory_outbox,
            bus,
            db,
        })
    }

    /// The orders' journal.
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal) as _
    }

    /// Keys and audit.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(access::SqliteAccess(Arc::clone(&self.db)))
    }

    /// The waiting sagas.
    pub fn sagas(&self) -> Arc<dyn Sagas> {
        Arc::new(sagas::SqliteSagas(Arc::clone(&self.db)))
    }

    /// The orders' messages to publish.
    pub fn orders_outbox(&self) -> Arc<dyn Outbox> {
        Arc::clone(&self.orders_outbox) as _
    }

    /// The inventory's messages to publish.
    pub fn inventory_outbox(&self) -> Arc<dyn Outbox> {
        Arc::clone(&self.inventory_outbox) as _
    }

    /// The inventory's stock.
    pub fn stock(&self) -> Arc<dyn StockStore> {
        Arc::clone(&self.stock) as _
    }

    /// The removal of old rows: of the orders, and of the inventory.
    pub fn retention(&self) -> [Arc<dyn Retention>; 2] {
        [Half::Orders, Half::Inventory].map(|half| {
            let retention = SqliteRetention::new(Arc::clone(&self.db), half);
            Arc::new(retention) as Arc<dyn Retention>
        })
    }

    /// The message bus.
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus) as _
    }

    /// The bus' groups.
    pub fn groups(&self) -> Arc<dyn Groups> {
        Arc::clone(&self.bus) as _
    }

    /// The authority over the shards. No other process can open the file, so its leases don't end by time,
    /// whichever length is asked for. A lease keeper renews them all the same.
    pub fn membership(&self) -> Arc<dyn Membership> {
        Arc::clone(&self.membership) as _
    }

    /// Finishes what is queued, checkpoints and unlocks. Adapters that are still held fail from
    /// now on.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
