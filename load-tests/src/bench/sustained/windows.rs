//! A long run, looked at every ten seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::SmallRng;
use serde::Serialize;

use crate::bench::checks::{CONFIRMED, PLACED, TRANSITIONS};
use crate::http::Response;
use crate::load::{Latencies, Outcome, Plan, Pool, Summary, Timing, Traffic, run as run_load};
use crate::order::PlaceOrders;
use crate::report::Grid;
use crate::system::{Metrics, Role};

/// What is looked at separately.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Requests under way at most, and at full speed always.
pub const CONNECTIONS: usize = 256;

const MIB: u64 = 1024 * 1024;

/// Ten seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// When it ended, from the start of the run.
    pub at_seconds: f64,
    pub placed_per_second: f64,
    pub confirmed_per_second: f64,
    /// Answers other than 2xx.
    pub refused: u64,
    pub latency: Summary,
    /// Of the order role.
    pub resident_mib: u64,
}

/// Orders, with what came back since the last look.
struct Watched {
    orders: PlaceOrders,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    refused: u64,
    latencies: Latencies,
}

/// Runs `plan` on the order role and looks at it every ten seconds for `time`.
pub async fn run(
    plan: Plan,
    time: Duration,
    pool: &mut Pool,
    order: &Role,
) -> Result<(Outcome, Vec<Window>)> {
    let watched = Arc::new(Watched {
        orders: PlaceOrders::new(order.public),
        tally: Mutex::default(),
    });
    let load = run_load(plan, pool, Arc::clone(&watched));
    let (outcome, windows) = tokio::join!(load, look(time, &watched, order));
    Ok((outcome?, windows?))
}

async fn look(time: Duration, watched: &Watched, order: &Role) -> Result<Vec<Window>> {
    let start = Instant::now();
    let mut windows = Vec::new();
    let mut last = Counts::read(order).await?;
    let mut next = start + WINDOW;
    while next <= start + time {
        tokio::time::sleep_until(next.into()).await;
        next += WINDOW;
        let now = Counts::read(order).await?;
        let seconds = (now.at - last.at).as_secs_f64();
        let tally = std::mem::take(&mut *watched.lock());
        let window = Window {
            at_seconds: start.elapsed().as_secs_f64(),
            placed_per_second: (now.placed - last.placed) / seconds,
            confirmed_per_second: (now.confirmed - last.confirmed) / seconds,
            refused: tally.refused,
            latency: tally.latencies.summary(),
            resident_mib: order.resident_bytes()? / MIB,
        };
        eprintln!("  {}", window.describe());
        windows.push(window);
        last = now;
    }
    Ok(windows)
}

struct Counts {
    at: Instant,
    placed: f64,
    confirmed: f64,
}

impl Counts {
    async fn read(order: &Role) -> Result<Self> {
        let metrics = Metrics::read(order).await?;
        Ok(Self {
            at: Instant::now(),
            placed: metrics.labelled(TRANSITIONS, PLACED),
            confirmed: metrics.labelled(TRANSITIONS, CONFIRMED),
        })
    }
}

impl Window {
    fn describe(&self) -> String {
        format!(
            "{:4.0} s: {:.0} placed, {:.0} confirmed, {} refused, p99 {:.1} ms, {} MiB",
            self.at_seconds,
            self.placed_per_second,
            self.confirmed_per_second,
            self.refused,
            self.latency.p99_ms,
            self.resident_mib
        )
    }
}

impl Watched {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic for Watched {
    fn request(&self, slot: u64, rng: &mut SmallRng, request: &mut Vec<u8>) {
        self.orders.request(slot, rng, request);
    }

    fn answered(&self, _slot: u64, timing: Timing, response: &Response<'_>) {
        let mut tally = self.lock();
        if (200..300).contains(&response.status) {
            let latency = timing.answered.saturating_duration_since(timing.due);
            tally.latencies.record(latency);
        } else {
            tally.refused += 1;
        }
    }
}

/// Window by window.
pub fn grid(windows: &[Window]) -> Grid {
    let mut grid = Grid::new([
        "at s",
        "placed/s",
        "confirmed/s",
        "refused",
        "p50 ms",
        "p99 ms",
        "order role MiB",
    ]);
    for window in windows {
        grid.line([
            format!("{:.0}", window.at_seconds),
            format!("{:.0}", window.placed_per_second),
            format!("{:.0}", window.confirmed_per_second),
            window.refused.to_string(),
            format!("{:.1}", window.latency.p50_ms),
            format!("{:.1}", window.latency.p99_ms),
            window.resident_mib.to_string(),
        ]);
    }
    grid
}
