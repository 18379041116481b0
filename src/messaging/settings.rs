//! How much a consumer handles at once, and for how long it tries a message again. Leaves the loop to
//! [`super::runner`], and the retries to [`super::work`].

use std::time::Duration;

/// How long a message that came too early is tried again. The step that it waits for comes within
/// seconds, or never.
pub const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// How long a message is tried again if the handler is busy: long enough for a restart with all its
/// backlog.
pub const BUSY_LIMIT: Duration = Duration::from_mins(5);

/// How much is handled at once.
#[derive(Clone, Copy, Debug)]
pub struct RunnerSettings {
    /// Messages in one call of the handler.
    pub batch_max: usize,
    /// Calls of the handler in flight.
    pub in_flight_max: usize,
    /// The pause between a poll that brought messages and the next one. Messages that come meanwhile are
    /// handled together. A message after a longer pause doesn't wait.
    pub gather: Duration,
}
