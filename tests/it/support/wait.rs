//! Waiting for a condition that another process brings about: looked at often, with an upper bound
//! that only a fault reaches.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Long past anything that works, also on a machine that compiles beside the tests.
pub const LONG: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until `look` gives something; `None` if `limit` passed first.
pub async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if start.elapsed() >= limit {
            return None;
        }
        // Another process can't signal us; the condition is looked at again.
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks until `look` gives something, and fails with `what` if it never does.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    within(LONG, look)
        .await
        .unwrap_or_else(|| panic!("{what}: not within {LONG:?}"))
}
