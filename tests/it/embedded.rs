//! The embedded adapters on a real file: the ports' contracts, and what only they have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use trackops::embedded::{Embedded, OpenError};
use trackops::ports::bus::{Bus, Consumer, OutMessage, Polled, Subscription};
use trackops::ports::clock::SystemClock;
use trackops::ports::journal::{Journal, RowOutcome};
use trackops::ports::outbox::Outbox;
use trackops::ports::stock::StockStore;
use trackops_cluster::membership::{Membership, NodeId};
use trackops_cluster::{ShardCount, ShardId};
use uuid::Uuid;

use crate::contract::bus::BusFixture;
use crate::contract::journal::journal_suite;
use crate::contract::membership::{lease_suite, ownership_suite};
use crate::contract::outbox::outbox_suite;
use crate::contract::stock::{StockFixture, stock_suite};
use crate::contract::support::{LEASE, OrdersFixture, Owned, changed, new_orders};

/// A store in a directory of its own, which goes with it.
pub struct Store {
    store: Embedded,
    dir: Directory,
}

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("trackops-it-{}", Uuid::now_v7().simple())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that was never made is as good as removed.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, Arc::new(SystemClock)).await.unwrap()
}

impl Store {
    async fn new() -> Self {
        let dir = Directory::new();
        let store = open(&dir.0).await;
        Self { store, dir }
    }

    /// What an end of the process and a new start would do, but for the page cache.
    async fn restart(mut self) -> Self {
        self.store.close().await;
        self.store = open(&self.dir.0).await;
        self
    }
}

#[async_trait]
impl OrdersFixture for Store {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn journal(&self) -> Arc<dyn Journal> {
        self.store.journal()
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        self.store.orders_outbox()
    }

    fn membership(&self) -> Arc<dyn Membership> {
        self.store.membership()
    }
}

#[async_trait]
impl StockFixture for Store {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn stock(&self) -> Arc<dyn StockStore> {
        self.store.stock()
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        self.store.inventory_outbox()
    }
}

/// One process has one bus: another connection to it is another handle.
#[async_trait]
impl BusFixture for Store {
    async fn connect(&self) -> Arc<dyn Bus> {
        self.store.bus()
    }
}

journal_suite!(journal, Store);
ownership_suite!(ownership, Store);
lease_suite!(leases, Store);
outbox_suite!(outbox, Store);
stock_suite!(stock, Store);

mod bus {
    use super::Store;
    crate::bus_contract!(Store::new());
}
