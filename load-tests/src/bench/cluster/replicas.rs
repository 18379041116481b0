//! How many replicas take part, and the orders that they are given before a part begins. Leaves measuring to
//! the parts.

use std::sync::Arc;

use anyhow::{Result, ensure};
use uuid::Uuid;

use super::answers::Answers;
use crate::bench::placing::Placing;
use crate::load::{Plan, Pool, run as run_load};
use crate::system::Role;

/// Takes part in every part but the last of `rest`.
pub const REPLICAS: usize = 3;
/// Orders are placed beforehand by so many connections, as fast as they go.
const PLACING_CONNECTIONS: usize = 16;

/// Places `count` orders at `role`, which so owns them, and gives their ids.
pub async fn place(role: &Role, count: u64, answers: &mut Answers) -> Result<Vec<Uuid>> {
    let placing = Arc::new(Placing::new(role.public));
    let mut pool = Pool::open(role.public, PLACING_CONNECTIONS).await?;
    let plan = Plan::counted(0, count);
    let outcome = run_load(plan, &mut pool, Arc::clone(&placing)).await?;
    answers.told.add(&outcome);
    ensure!(
        outcome.is_clean() && outcome.accepted == count,
        "place {count} orders at {}: {}",
        role.name,
        outcome.describe()
    );
    Ok(placing.orders())
}
