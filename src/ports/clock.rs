//! Time and ids as ports, so that a simulation can hold both still.

use trackops_domain::time::Timestamp;
use uuid::Uuid;

/// The wall clock and the source of new ids.
pub trait Clock: Send + Sync + 'static {
    /// Now, UTC.
    fn now(&self) -> Timestamp;

    /// A new UUIDv7 (RFC 9562).
    fn uuid_v7(&self) -> Uuid;
}

/// The machine's clock and random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn uuid_v7(&self) -> Uuid {
        Uuid::now_v7()
    }
}
