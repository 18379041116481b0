//! The state of the running bus, and its start. Leaves its operations to the files beside this one.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::db::Db;
use super::super::error::WriteError;
use super::super::shared_clock::SharedClock;
use super::hub::Hub;
use super::retention::{self, Retention};
use super::rows;
use crate::ports::clock::Clock;

/// The bus.
#[derive(Debug)]
pub(in super::super) struct EmbeddedBus {
    pub(super) db: Arc<Db>,
    pub(super) clock: SharedClock,
    pub(super) hub: Arc<Hub>,
    /// Counts messages without a key, which go round the partitions.
    pub(super) keyless: AtomicUsize,
    /// Stops the retention when the bus is dropped.
    _retention: DropGuard,
}

impl EmbeddedBus {
    /// Reads the ends of the partitions and starts the retention.
    pub(in super::super) async fn start(
        db: Arc<Db>,
        clock: Arc<dyn Clock>,
        retention: Retention,
    ) -> Result<Arc<Self>, WriteError> {
        let hub = Arc::new(Hub::default());
        // Read by the writer, which also makes every later change of partitions, so that no change is missed.
        let partitions = db
            .writer
            .write(|conn| async move { rows::partitions(conn, &[]).await }.boxed())
            .await?;
        hub.put(partitions);
        let stop = CancellationToken::new();
        let clean = retention::run(
            Arc::clone(&db),
            Arc::clone(&hub),
            Arc::clone(&clock),
            retention,
            stop.clone(),
        );
        tokio::spawn(clean);
        Ok(Arc::new(Self {
            db,
            clock: clock.into(),
            hub,
            keyless: AtomicUsize::new(0),
            _retention: stop.drop_guard(),
        }))
    }
}
