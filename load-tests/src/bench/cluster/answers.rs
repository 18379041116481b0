//! What clients were told over all parts, against the rows. Leaves asking to the parts.

use anyhow::{Result, ensure};

use crate::bench::checks::Told;
use crate::system::{Deployment, scalar};

/// What clients were told, over all parts.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Answers {
    pub told: Told,
    /// Cancels that were answered 200, each of another order.
    pub cancelled: u64,
    /// Cancels whose outcome isn't known.
    pub cancels_unknown: u64,
}

impl Answers {
    /// The 201s must be as many as the orders, the cancels as many as the second versions; those of
    /// unknown outcome may or may not be there. Gives a line that says so.
    pub async fn compare(&self, deployment: &Deployment<'_>) -> Result<String> {
        let rows = deployment.rows().await?;
        self.told.compare(&rows)?;
        let sql = "SELECT count(*) FROM order_events WHERE version = 2";
        let second = scalar(&deployment.orders_url, sql).await?;
        let cancelled = self.cancelled..=self.cancelled + self.cancels_unknown;
        ensure!(
            cancelled.contains(&second) && rows.events == rows.orders + second,
            "{} cancels were answered 200 ({} unknown), but the journal has {second} second versions and {rows:?}",
            self.cancelled,
            self.cancels_unknown
        );
        Ok(format!(
            "{} orders and {second} cancels, as many as answers 201 and 200; no invariant broken",
            rows.orders
        ))
    }
}
