//! Looks for the highest rate that a system holds: steps up until one fails,
//! bisects between the last two, and confirms with a longer run. A run that
//! failed by single stalls is tried again; one that was too fast is not.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Outcome, Plan, Summary};

/// A rate below this isn't worth looking for.
const RATE_MIN: u32 = 20;
/// Longer runs find stalls that steps missed; each rate that fails costs 5 %.
const CONFIRMATIONS_MAX: u32 = 12;
/// A run whose median is well within the limit failed by single stalls (a flush of the disk, a
/// neighbour of the virtual machine), not by its rate: it may be tried this often in all. Every
/// try is in the report.
const TRIES_MAX: u32 = 3;
/// "Well within": this part of the limit.
const STALLED_P50_PART: f64 = 0.5;
/// What an overloaded run left behind (flushes, checkpoints) must not fail the next.
const RECOVERY: Duration = Duration::from_secs(2);
/// An overloaded step ends when it is this late.
const LAG_MAX: Duration = Duration::from_secs(1);

/// When a rate counts as held, and how long is looked.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// 99 of 100 answers come within this.
    pub p99_ms: f64,
    /// Where the search begins.
    pub start_rate: u32,
    /// Before each measurement.
    pub warm_up: Duration,
    /// One step's measurement.
    pub step: Duration,
    /// The measurement at the end.
    pub confirm: Duration,
}

/// The highest rate that held.
#[derive(Debug)]
pub struct Found {
    /// The rate that was sent.
    pub rate: u32,
    /// The confirming run at it.
    pub outcome: Outcome,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
}

/// One attempt, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    pub rate: u32,
    pub achieved: f64,
    pub held: bool,
    pub confirming: bool,
    pub latency: Summary,
}

/// Finds the highest rate for which `attempt` holds the limits.
pub async fn highest(
    limits: Limits,
    mut attempt: impl AsyncFnMut(Plan) -> Result<Outcome>,
) -> Result<Found> {
    let mut search = Search {
        limits,
        attempts: Vec::new(),
    };
    let (mut low, mut high) = search.bracket(&mut attempt).await?;
    while high - low > (low / 25).max(1) {
        let middle = low + (high - low) / 2;
        if search.step(middle, &mut attempt).await? {
            low = middle;
        } else {
            high = middle;
        }
    }
    search.confirm(low, &mut attempt).await
}

/// The highest rate, once it is roughly known: longer runs only, from `rate` downwards.
pub async fn confirm(
    limits: Limits,
    rate: u32,
    mut attempt: impl AsyncFnMut(Plan) -> Result<Outcome>,
) -> Result<Found> {
    let search = Search {
        limits,
        attempts: Vec::new(),
    };
    search.confirm(rate, &mut attempt).await
}

struct Search {
    limits: Limits,
    attempts: Vec<Attempt>,
}

impl Search {
    /// A rate that held and a higher one that didn't.
    async fn bracket(
        &mut self,
        attempt: &mut impl AsyncFnMut(Plan) -> Result<Outcome>,
    ) -> Result<(u32, u32)> {
        let mut rate = self.limits.start_rate;
        // The first run fills caches and pools; it is not judged.
        self.run(rate, self.limits.step, false, attempt).await?;
        while !self.step(rate, attempt).await? {
            rate /= 2;
            ensure!(
                rate >= RATE_MIN,
                "not even {RATE_MIN}/s hold p99 <= {} ms",
                self.limits.p99_ms
            );
        }
        if rate < self.limits.start_rate {
            return Ok((rate, rate * 2));
        }
        loop {
            let next = rate + rate / 4;
            if !self.step(next, attempt).await? {
                return Ok((rate, next));
            }
            rate = next;
        }
    }

    async fn confirm(
        mut self,
        mut rate: u32,
        attempt: &mut impl AsyncFnMut(Plan) -> Result<Outcome>,
    ) -> Result<Found> {
        let Limits {
            p99_ms, confirm, ..
        } = self.limits;
        for _ in 0..CONFIRMATIONS_MAX {
            if let Some(outcome) = self.tried(rate, confirm, true, attempt).await? {
                let attempts = self.attempts;
                return Ok(Found {
                    rate,
                    outcome,
                    attempts,
                });
            }
            rate = rate * 19 / 20;
        }
        anyhow::bail!("no rate held p99 <= {p99_ms} ms for {confirm:?}")
    }

    async fn step(
        &mut self,
        rate: u32,
        attempt: &mut impl AsyncFnMut(Plan) -> Result<Outcome>,
    ) -> Result<bool> {
        let held = self.tried(rate, self.limits.step, false, attempt).await?;
        Ok(held.is_some())
    }

    /// The first run that held `rate`; `None` if it is too high, or if stalls failed every try.
    async fn tried(
        &mut self,
        rate: u32,
        measured: Duration,
        confirming: bool,
        attempt: &mut impl AsyncFnMut(Plan) -> Result<Outcome>,
    ) -> Result<Option<Outcome>> {
        for _ in 0..TRIES_MAX {
            let outcome = self.run(rate, measured, confirming, attempt).await?;
            if self.held(&outcome) {
                return Ok(Some(outcome));
            }
            if !self.stalled(&outcome) {
                break;
            }
        }
        Ok(None)
    }

    async fn run(
        &mut self,
        rate: u32,
        measured: Duration,
        confirming: bool,
        attempt: &mut impl AsyncFnMut(Plan) -> Result<Outcome>,
    ) -> Result<Outcome> {
        let mut plan = Plan::timed(rate, self.limits.warm_up, measured);
        plan.lag_max = Some(LAG_MAX);
        let outcome = attempt(plan).await?;
        let held = self.held(&outcome);
        eprintln!(
            "  {rate}/s {} {}",
            match (held, self.stalled(&outcome)) {
                (true, _) => "held: ",
                (false, true) => "stalls:",
                (false, false) => "fails:",
            },
            outcome.describe()
        );
        if !held {
            tokio::time::sleep(RECOVERY).await;
        }
        let achieved = outcome.rate;
        self.attempts.push(Attempt {
            rate,
            achieved,
            held,
            confirming,
            latency: outcome.latency,
        });
        Ok(outcome)
    }

    fn held(&self, outcome: &Outcome) -> bool {
        outcome.is_clean() && outcome.latency.p99_ms <= self.limits.p99_ms
    }

    /// It didn't hold, and not for want of capacity.
    fn stalled(&self, outcome: &Outcome) -> bool {
        !self.held(outcome)
            && outcome.is_clean()
            && outcome.latency.p50_ms <= self.limits.p99_ms * STALLED_P50_PART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that holds up to `capacity` requests a second, and a little less for long.
    async fn search(capacity: u32) -> Result<Found> {
        let second = Duration::from_secs(1);
        let limits = Limits {
            p99_ms: 50.0,
            start_rate: 1000,
            warm_up: second,
            step: second,
            confirm: second * 4,
        };
        let mut runs = 0_u32;
        highest(limits, async |plan| {
            let long = plan.measured_slots > u64::from(plan.rate) * 3;
            let capacity = if long { capacity * 9 / 10 } else { capacity };
            runs += 1;
            let (p50_ms, p99_ms) = match plan.rate <= capacity {
                // Every other run has a stall.
                true if runs.is_multiple_of(2) => (2.0, 200.0),
                true => (2.0, 5.0),
                false => (100.0, 500.0),
            };
            let latency = Summary {
                p50_ms,
                p99_ms,
                ..Summary::default()
            };
            Ok(Outcome {
                accepted: plan.measured_slots,
                latency,
                ..Outcome::default()
            })
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn the_edge_is_found_from_below_and_from_above() {
        for capacity in [130, 1000, 7777, 90_000] {
            let found = search(capacity).await.expect("a rate that holds");
            let ratio = f64::from(found.rate) / f64::from(capacity);
            assert!((0.8..=0.9).contains(&ratio), "{} of {capacity}", found.rate);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_that_holds_nothing_is_an_error() {
        assert!(search(1).await.is_err());
    }
}
