//! How much a consumer handles at once, and for how long it tries a message again. Leaves the loop to
//! [`super::runner`], and the tries to [`super::work`].

use std::time::Duration;

/// How long a message that came too early is tried again: what it waits for comes within seconds,
/// or never.
pub const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// How long a message is tried again for which there was no room: a restart with all its backlog
/// fits in.
pub const BUSY_LIMIT: Duration = Duration::from_mins(5);

/// How much is handled at once.
#[derive(Clone, Copy, Debug)]
pub struct RunnerSettings {
    /// Messages in one call of the handler.
    pub batch_max: usize,
    /// Calls of the handler under way.
    pub in_flight_max: usize,
    /// Between a poll that brought messages and the next one: what comes meanwhile is handled
    /// together. A message after a pause doesn't wait.
    pub gather: Duration,
}
