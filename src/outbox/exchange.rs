//! One exchange with the outbox: it removes what the bus has acknowledged and fetches the next rows. Rows that
//! can't be read are set aside. Leaves when to exchange, and what, to [`super::pipeline`].

use std::sync::Arc;

use tokio::time::timeout;

use super::relayed_outbox::RelayedOutbox;
use crate::model::outbox_row::RowId;
use crate::ports::outbox::{Fetched, Outbox, OutboxError, UnreadableRow, Wanted};

/// The outcome of an exchange.
pub(super) struct Exchanged {
    /// The rows that were to be removed.
    pub removed: Vec<RowId>,
    /// The lanes of which rows were wanted.
    pub lanes: Vec<u16>,
    pub result: Result<Fetched, OutboxError>,
}

/// Removes `removed` and fetches what is `wanted`, within the outbox's time limit. With `takes_back`, rows of the
/// wanted lanes that were set aside are taken back first.
pub(super) fn begin(
    relayed: &RelayedOutbox,
    removed: Vec<RowId>,
    wanted: Wanted,
    takes_back: bool,
) -> impl Future<Output = Exchanged> + Send + use<> {
    let outbox = Arc::clone(&relayed.outbox);
    let limit = relayed.settings.call_limit;
    async move {
        let work = call(&*outbox, &removed, &wanted, takes_back);
        let result = timeout(limit, work).await;
        let result = result.unwrap_or_else(|late| Err(OutboxError(Box::new(late))));
        let lanes = wanted.lanes.iter().map(|from| from.lane).collect();
        Exchanged {
            removed,
            lanes,
            result,
        }
    }
}

/// Takes back, removes and fetches. Rows that can't be read are set aside before the others count as fetched.
async fn call(
    outbox: &dyn Outbox,
    removed: &[RowId],
    wanted: &Wanted,
    takes_back: bool,
) -> Result<Fetched, OutboxError> {
    if takes_back {
        let lanes: Vec<u16> = wanted.lanes.iter().map(|from| from.lane).collect();
        let rows = outbox.take_back(&lanes).await?;
        if rows > 0 {
            tracing::info!(
                outbox = outbox.name(),
                rows,
                "rows that were set aside are taken back"
            );
        }
    }
    let fetched = outbox.exchange(removed, wanted).await?;
    let unreadable: Vec<UnreadableRow> = fetched
        .rows
        .iter()
        .filter_map(|row| row.as_ref().err().cloned())
        .collect();
    if let Some(first) = unreadable.first() {
        outbox.set_aside(&unreadable).await?;
        tracing::error!(
            outbox = outbox.name(),
            rows = unreadable.len(),
            lane = first.row_id.lane,
            seq = first.row_id.seq,
            reason = first.reason,
            "rows can't be read, set aside"
        );
    }
    Ok(fetched)
}
