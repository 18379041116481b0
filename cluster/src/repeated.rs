//! Log lines for repeated failures: the first failure, then one line each ten seconds with the count, then
//! the recovery with the length of the outage. Says when a line is due; leaves its text to the caller.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The time between two lines of one failure: often enough to see that it lasts.
pub const LINE_EVERY: Duration = Duration::from_secs(10);

/// A failure that has no matching success counts as over after this long without another: the time of three
/// lines.
pub const QUIET: Duration = Duration::from_secs(30);

/// One thing that can fail again and again. Each has its own value: failures of two kinds must not be
/// counted as one.
#[derive(Debug, Default)]
pub struct RepeatedLog {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The current outage.
    outage: Option<Outage>,
    /// When the last line about a failure was due. A new outage waits for [`LINE_EVERY`] after it too, so
    /// that a thing that fails and works by turns doesn't log each time.
    told_at: Option<Instant>,
    /// Failures since the last line.
    untold: u64,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    began: Instant,
    last: Instant,
    failures: u64,
    is_told: bool,
}

/// A line about a failure is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Failures since the last such line, this one included.
    pub count: u64,
    /// Since the first failure.
    pub lasting: Duration,
}

/// A line about the recovery is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Failures in all.
    pub count: u64,
    /// From the first failure to the recovery; to the last failure, if only quiet shows the recovery.
    pub lasted: Duration,
}

/// The line that [`RepeatedLog::look`] finds due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Failures that no line has counted yet.
    Repeats(Repeats),
    /// There was no failure for [`QUIET`].
    Recovery(Recovery),
}

impl RepeatedLog {
    /// A log without any failure.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a failure.
    pub fn failed(&self, now: Instant) -> Option<Repeats> {
        let mut state = self.state.lock();
        state.untold += 1;
        let outage = state.outage.get_or_insert(Outage {
            began: now,
            last: now,
            failures: 0,
            is_told: false,
        });
        outage.failures += 1;
        outage.last = now;
        state.repeats(now)
    }

    /// Notes a success. Cheap while there is no outage.
    pub fn recovered(&self, now: Instant) -> Option<Recovery> {
        let outage = self.state.lock().outage.take()?;
        outage.is_told.then(|| Recovery {
            count: outage.failures,
            lasted: now.duration_since(outage.began),
        })
    }

    /// Looks whether a line is due. To be called now and then for failures that have no matching success,
    /// such as set-aside messages.
    pub fn look(&self, now: Instant) -> Option<Due> {
        let mut state = self.state.lock();
        let outage = state.outage?;
        if state.untold > 0
            && let Some(repeats) = state.repeats(now)
        {
            return Some(Due::Repeats(repeats));
        }
        if now.duration_since(outage.last) < QUIET {
            return None;
        }
        state.outage = None;
        outage.is_told.then(|| {
            Due::Recovery(Recovery {
                count: outage.failures,
                lasted: outage.last.duration_since(outage.began),
            })
        })
    }

    /// When [`Self::look`] may find a line due.
    pub fn next_look(&self) -> Option<Instant> {
        let state = self.state.lock();
        let outage = state.outage?;
        let line = state.told_at.filter(|_| state.untold > 0);
        Some(line.map_or(outage.last + QUIET, |told| told + LINE_EVERY))
    }
}

impl State {
    fn repeats(&mut self, now: Instant) -> Option<Repeats> {
        let outage = self.outage.as_mut()?;
        let waits = |told| now.duration_since(told) < LINE_EVERY;
        if self.told_at.is_some_and(waits) {
            return None;
        }
        self.told_at = Some(now);
        outage.is_told = true;
        Some(Repeats {
            count: std::mem::take(&mut self.untold),
            lasting: now.duration_since(outage.began),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_outage_is_told_first_each_ten_seconds_and_at_its_end() {
        let (log, start) = (RepeatedLog::new(), Instant::now());
        let mut lines = Vec::new();
        // Four failures a second, for 25 seconds.
        for n in 0..100 {
            lines.extend(log.failed(start + SECOND / 4 * n));
        }
        let told = |count, lasting| Repeats {
            count,
            lasting: SECOND * lasting,
        };
        assert_eq!(lines, [told(1, 0), told(40, 10), told(40, 20)]);
        let end = log.recovered(start + SECOND * 25).unwrap();
        assert_eq!((end.count, end.lasted), (100, SECOND * 25));
        assert_eq!(log.recovered(start + SECOND * 26), None, "told once");
        assert_eq!(log.next_look(), None);
    }

    #[test]
    fn what_fails_and_works_by_turns_is_not_told_each_time() {
        let (log, start) = (RepeatedLog::new(), Instant::now());
        let (mut failures, mut recoveries) = (0, 0);
        for n in 0..100 {
            let now = start + SECOND / 5 * n;
            failures += log.failed(now).map_or(0, |line| line.count);
            recoveries += u64::from(log.recovered(now + SECOND / 10).is_some());
        }
        // Twenty seconds, so two lines; the second one counts what happened between them.
        assert_eq!((failures, recoveries), (51, 2));
    }

    #[test]
    fn quiet_ends_what_has_no_success() {
        let (log, start) = (RepeatedLog::new(), Instant::now());
        assert_eq!(log.look(start), None);
        assert!(log.failed(start).is_some());
        for n in 1..=9 {
            assert_eq!(log.failed(start + SECOND / 10 * n), None);
        }
        assert_eq!(log.look(start + SECOND), None);
        assert_eq!(log.next_look(), Some(start + SECOND * 10));
        let counted = Due::Repeats(Repeats {
            count: 9,
            lasting: SECOND * 10,
        });
        assert_eq!(log.look(start + SECOND * 10), Some(counted));
        assert_eq!(log.look(start + SECOND * 29), None);
        assert_eq!(log.next_look(), Some(start + SECOND / 10 * 9 + QUIET));
        let over = Due::Recovery(Recovery {
            count: 10,
            lasted: SECOND / 10 * 9,
        });
        assert_eq!(log.look(start + SECOND * 31), Some(over));
        assert_eq!(log.look(start + SECOND * 99), None);
    }
}
