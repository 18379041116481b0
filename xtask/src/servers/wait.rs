//! Waiting for a condition of another process, which can't tell us: looked at often,
//! with a limit.

use std::thread;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until the condition holds; false if the limit passed first.
pub fn until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() >= limit {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
    true
}
