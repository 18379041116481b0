//! The port to time and new ids, so that a simulation can control both.

use parking_lot::Mutex;
use trackops_domain::time::Timestamp;
use uuid::{ContextV7, Uuid};

use crate::faults;

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
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Timestamp(millis.saturating_add(faults::clock_shift_ms()))
    }

    fn uuid_v7(&self) -> Uuid {
        uuid_v7_at(self.now())
    }
}

/// A new UUIDv7 of this moment, higher than all that this process has made before.
pub fn uuid_v7_at(now: Timestamp) -> Uuid {
    static LAST: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    let millis = u64::try_from(now.0).unwrap_or(0);
    // Below a thousand, in millionths.
    let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
    let last = LAST.lock();
    Uuid::new_v7(uuid::Timestamp::from_unix(&*last, millis / 1_000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_moment_and_rise() {
        let now = Timestamp(1_800_000_000_123);
        let ids = [0, 0, 1, -5].map(|later| uuid_v7_at(Timestamp(now.0 + later)));
        assert!(ids.is_sorted(), "{ids:?}");
        let moment = ids[0].get_timestamp().expect("of version 7").to_unix();
        assert_eq!(moment, (1_800_000_000, 123_000_000));
    }
}
