//! Removes old settled rows: one walk through a database in small pages with rests between them, and the
//! daily run. Leaves to the adapters (`ports::retention`) which rows may be removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use trackops_domain::time::Timestamp;

use crate::ports::clock::Clock;
use crate::ports::retention::{Cursor, Mode, Retention, RetentionError};
use crate::telemetry::names::PRUNED_ROWS;

/// Rows that one statement looks at: few, so that it holds its locks for milliseconds.
const PAGE_ROWS: u32 = 200;
/// The rest after a page, as a multiple of the time that the page took: the writers have four fifths of the
/// time.
const REST_FACTOR: u32 = 4;
/// The longest rest: a page that waited for a lock says nothing of the database's load.
const REST_MAX: Duration = Duration::from_secs(2);
/// A daily run is due this long after the last one began. It is a little less than a day: processes ask only
/// once an hour, and the run would otherwise start later every day.
const TURN_EVERY: Duration = Duration::from_hours(23);
/// How often a process asks whether a run is due.
const ASK_EVERY: Duration = Duration::from_hours(1);
/// When a process asks first after its start: not while it is busy starting.
const ASK_FIRST: Duration = Duration::from_mins(1);

/// One day.
pub const DAY: Duration = Duration::from_hours(24);

/// Rows by table.
pub type Totals = BTreeMap<&'static str, u64>;

/// The moment `days` before `now`.
pub fn cutoff(now: Timestamp, days: u32) -> Timestamp {
    let kept = i64::try_from((DAY * days).as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(kept))
}

/// Walks through the whole of `store`, and removes or counts the settled rows that have not changed since
/// `before`. Ends early at `stop`, and returns the totals so far.
pub async fn prune(
    store: &dyn Retention,
    before: Timestamp,
    mode: Mode,
    stop: &CancellationToken,
) -> Result<Totals, RetentionError> {
    let mut totals = Totals::new();
    let mut from = Cursor::default();
    while !stop.is_cancelled() {
        let began = Instant::now();
        let page = store.page(before, from, PAGE_ROWS, mode).await?;
        for (table, rows) in page.rows {
            *totals.entry(table).or_default() += rows;
            if mode == Mode::Remove && rows > 0 {
                metrics::counter!(PRUNED_ROWS, "table" => table).increment(rows);
            }
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
        let rest = (began.elapsed() * REST_FACTOR).min(REST_MAX);
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(rest) => {}
        }
    }
    Ok(totals)
}

/// Removes settled rows older than `days` once a day, until `stop`. Does nothing if `days` is 0.
pub async fn daily(
    store: Arc<dyn Retention>,
    days: u32,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    if days == 0 {
        return;
    }
    let mut ticks = interval_at(Instant::now() + ASK_FIRST, ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Whether a run of this process has begun and not ended yet.
    let mut is_begun = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match run_if_due(&*store, &mut is_begun, cutoff(clock.now(), days), &stop).await {
            Ok(None) => {}
            Ok(Some(totals)) => {
                tracing::info!(database = store.name(), ?totals, "old rows removed");
            }
            // The run is continued at the next hourly look.
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(database = store.name(), %error, cause, "daily removal ended early");
            }
        }
    }
}

async fn run_if_due(
    store: &dyn Retention,
    is_begun: &mut bool,
    before: Timestamp,
    stop: &CancellationToken,
) -> Result<Option<Totals>, RetentionError> {
    *is_begun = *is_begun || store.take_turn(TURN_EVERY).await?;
    if !*is_begun {
        return Ok(None);
    }
    let totals = prune(store, before, Mode::Remove, stop).await?;
    *is_begun = false;
    Ok(Some(totals))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::ports::clock::SystemClock;
    use crate::ports::retention::Page;

    /// Two whole pages and a part of a third.
    const ROWS: usize = 2 * PAGE_ROWS as usize + 50;

    /// What a page was asked for: after how many rows, how many of them, and when.
    type Asked = (usize, u32, Mode, Instant);

    /// A store of [`ROWS`] rows; it records its calls.
    #[derive(Default)]
    struct Pages {
        asked: Mutex<Vec<Asked>>,
        turns: Mutex<u32>,
        /// How long a page takes.
        takes: Duration,
    }

    #[async_trait]
    impl Retention for Pages {
        fn name(&self) -> &'static str {
            "orders"
        }

        async fn take_turn(&self, every: Duration) -> Result<bool, RetentionError> {
            assert!(every < DAY);
            let mut turns = self.turns.lock();
            *turns += 1;
            Ok(*turns % 2 == 1)
        }

        async fn page(
            &self,
            _: Timestamp,
            from: Cursor,
            limit: u32,
            mode: Mode,
        ) -> Result<Page, RetentionError> {
            let asked = (from.walk, limit, mode, Instant::now());
            self.asked.lock().push(asked);
            if !self.takes.is_zero() {
                // A page that takes its time, on the paused clock.
                sleep(self.takes).await;
            }
            let walk = ROWS.min(from.walk + limit as usize);
            Ok(Page {
                rows: vec![("orders", (walk - from.walk) as u64)],
                next: (walk < ROWS).then_some(Cursor { walk, ..from }),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_takes_page_by_page_to_the_last_row_and_adds_up() {
        let store = Pages::default();
        let stop = CancellationToken::new();
        let totals = prune(&store, Timestamp(0), Mode::Remove, &stop).await;
        assert_eq!(totals.expect("no page fails")["orders"], ROWS as u64);
        let asked = store.asked.lock().clone();
        let asked = asked
            .into_iter()
            .map(|(after, rows, mode, _)| (after, rows, mode));
        let page = |after| (after, PAGE_ROWS, Mode::Remove);
        let pages = [0, 1, 2].map(|number| page(number * PAGE_ROWS as usize));
        assert_eq!(asked.collect::<Vec<_>>(), pages);
        stop.cancel();
        let none = prune(&store, Timestamp(0), Mode::Count, &stop).await;
        assert!(none.expect("nothing is asked").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_followed_by_four_times_its_length_of_rest_and_two_seconds_at_most() {
        for (takes_ms, rest_ms) in [(10, 40), (400, 1_600), (30_000, 2_000)] {
            let store = Pages {
                takes: Duration::from_millis(takes_ms),
                ..Pages::default()
            };
            let stop = CancellationToken::new();
            let totals = prune(&store, Timestamp(0), Mode::Remove, &stop).await;
            totals.expect("no page fails");
            let begun: Vec<Instant> = store.asked.lock().iter().map(|asked| asked.3).collect();
            assert_eq!(begun.len(), 3);
            for pair in begun.windows(2) {
                let apart = pair[1] - pair[0];
                let expected = Duration::from_millis(takes_ms + rest_ms);
                // The paused clock goes by milliseconds.
                let error = apart.abs_diff(expected);
                assert!(error <= Duration::from_millis(5), "{apart:?}: {expected:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_daily_run_happens_when_it_is_this_process_turn() {
        let store = Arc::new(Pages::default());
        let stop = CancellationToken::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        daily(Arc::clone(&store) as _, 0, Arc::clone(&clock), stop.clone()).await;
        let running = tokio::spawn(daily(Arc::clone(&store) as _, 90, clock, stop.clone()));
        while *store.turns.lock() < 3 {
            tokio::time::advance(Duration::from_mins(10)).await;
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.expect("no panic");
        let removed = store.asked.lock().len();
        assert!(
            (3..=6).contains(&removed),
            "{removed}: one or two whole walks"
        );
    }

    #[test]
    fn days_are_counted_back() {
        let now = Timestamp(90 * 86_400_000 + 5);
        assert_eq!(cutoff(now, 90), Timestamp(5));
    }
}
