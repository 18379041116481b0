//! What a step came to: two readings, what clients saw, and the judgement whether the system held.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::reading::Reading;
use crate::bench::following::Followed;
use crate::load::{Outcome, Summary};
use crate::numbers::to_f64;
use crate::system::{Produced, Settings};

/// A backlog that grows by more than this part of what is placed has no end.
const GROWTH_PART: f64 = 0.05;
/// A rate of which less than this part is placed was more than fits.
const PLACED_PART: f64 = 0.97;
/// A run whose median is below this part of the limit failed by single stalls.
const STALLED_P50_PART: f64 = 0.5;

/// What clients saw of a step.
pub struct Seen {
    pub outcome: Outcome,
    pub followed: Followed,
    pub drained_seconds: Option<f64>,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Orders sent a second, and over how long that was measured.
    pub rate: u32,
    pub seconds: f64,
    pub placed_per_second: f64,
    pub confirmed_per_second: f64,
    /// Orders that were pending when the measurement began and when it ended.
    pub pending: [f64; 2],
    /// CPU time of all servers for each order that was placed and confirmed, in µs, and each process' part.
    pub cpu_us: f64,
    pub cpu_us_by_process: BTreeMap<&'static str, f64>,
    /// Of the whole machine, load generator included.
    pub cores_busy: f64,
    pub cores_stolen: f64,
    pub commits_per_second: f64,
    /// What the relay put into Kafka, if its log can be read here.
    pub produced: Option<Produced>,
    /// Mean batch sizes, by metric.
    pub batches: BTreeMap<String, f64>,
    /// From the intended send time to the 201, and to the CONFIRMED of those that were followed.
    pub place: Summary,
    pub confirmed: Summary,
    /// Orders that were followed and not seen CONFIRMED.
    pub unseen: usize,
    pub drained_seconds: Option<f64>,
    /// Answers other than 201 and requests without one, in words.
    pub refused: Option<String>,
    /// What p99 of placing was to stay within.
    pub p99_max_ms: f64,
}

impl Figures {
    /// The figures of what lies between two readings.
    pub fn between(
        settings: &Settings,
        rate: u32,
        before: &Reading,
        after: &Reading,
        seen: &Seen,
    ) -> Result<Self> {
        let seconds = (after.at - before.at).as_secs_f64();
        let counted_seconds = (after.counted_at - before.counted_at).as_secs_f64();
        let placed_per_second = (after.placed - before.placed) / counted_seconds;
        let confirmed_per_second = (after.confirmed - before.confirmed) / counted_seconds;
        // What was only placed, or only confirmed, is no whole order.
        let whole_per_second = placed_per_second.min(confirmed_per_second).max(1.0);
        let used = after.processes.iter().filter_map(|(name, seconds_after)| {
            let used = seconds_after - before.processes.get(name)?;
            Some((*name, used * 1e6 / seconds / whole_per_second))
        });
        let cpu_us_by_process: BTreeMap<_, _> = used.collect();
        let produced = match (&before.log_ends, &after.log_ends) {
            (Some(before), Some(after)) => Some(after.since(before)?),
            _ => None,
        };
        let Seen {
            outcome,
            followed,
            drained_seconds,
        } = seen;
        Ok(Self {
            rate,
            seconds,
            placed_per_second,
            confirmed_per_second,
            pending: [before, after].map(|reading| reading.placed - reading.settled),
            cpu_us: cpu_us_by_process.values().sum(),
            cpu_us_by_process,
            cores_busy: (after.machine.busy - before.machine.busy) / seconds,
            cores_stolen: (after.machine.stolen - before.machine.stolen) / seconds,
            commits_per_second: to_f64(after.commits.saturating_sub(before.commits)) / seconds,
            produced,
            batches: batches(before, after),
            place: outcome.latency,
            confirmed: followed.confirmed,
            unseen: followed.missing,
            drained_seconds: *drained_seconds,
            refused: (!outcome.is_clean()).then(|| outcome.describe()),
            p99_max_ms: settings.p99_ms,
        })
    }

    /// Placed as fast as sent, confirmed as fast as placed.
    pub fn kept_up(&self) -> bool {
        let growth = (self.pending[1] - self.pending[0]) / self.seconds;
        self.refused.is_none()
            && self.drained_seconds.is_some()
            && self.placed_per_second >= f64::from(self.rate) * PLACED_PART
            && growth <= self.placed_per_second * GROWTH_PART
    }

    /// Kept up, and placed within the limit.
    pub fn held(&self) -> bool {
        self.kept_up() && self.place.p99_ms <= self.p99_max_ms
    }

    /// Kept up, and missed the limit by single stalls, not by its rate.
    pub fn stalled(&self) -> bool {
        self.kept_up() && !self.held() && self.place.p50_ms <= self.p99_max_ms * STALLED_P50_PART
    }

    /// Messages a produce request.
    pub fn messages_per_produce(&self) -> Option<f64> {
        let Produced { batches, messages } = self.produced?;
        (batches > 0).then(|| to_f64(messages) / to_f64(batches))
    }

    /// `held`, `p99` or `behind`, for people.
    pub fn verdict(&self) -> &'static str {
        match (self.kept_up(), self.held()) {
            (_, true) => "held",
            (true, false) => "p99",
            (false, false) => "behind",
        }
    }

    /// One line for a person who waits.
    pub fn describe(&self) -> String {
        let refused = self.refused.as_ref();
        format!(
            "{}/s: {:.0} placed, {:.0} confirmed, {:.0} µs an order, place p50 {:.1} p99 {:.1} ms, \
             CONFIRMED p50 {:.0} p99 {:.0} ms: {}{}",
            self.rate,
            self.placed_per_second,
            self.confirmed_per_second,
            self.cpu_us,
            self.place.p50_ms,
            self.place.p99_ms,
            self.confirmed.p50_ms,
            self.confirmed.p99_ms,
            self.verdict(),
            refused
                .map(|refused| format!(" ({refused})"))
                .unwrap_or_default()
        )
    }
}

/// The mean of every batch that a role measures.
fn batches(before: &Reading, after: &Reading) -> BTreeMap<String, f64> {
    let roles = [
        (&before.order, &after.order),
        (&before.relay, &after.relay),
        (&before.inventory, &after.inventory),
    ];
    roles
        .into_iter()
        .flat_map(|(before, after)| after.means_since(before, "_batch_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rate: u32, placed: f64, pending: [f64; 2], p99_ms: f64) -> Figures {
        let place = Summary {
            p50_ms: 4.0,
            p99_ms,
            ..Summary::default()
        };
        Figures {
            rate,
            seconds: 10.0,
            placed_per_second: placed,
            confirmed_per_second: placed,
            pending,
            cpu_us: 0.0,
            cpu_us_by_process: BTreeMap::new(),
            cores_busy: 0.0,
            cores_stolen: 0.0,
            commits_per_second: 0.0,
            produced: Some(Produced {
                batches: 4,
                messages: 6,
            }),
            batches: BTreeMap::new(),
            place,
            confirmed: Summary::default(),
            unseen: 0,
            drained_seconds: Some(0.5),
            refused: None,
            p99_max_ms: 50.0,
        }
    }

    #[test]
    fn a_growing_backlog_and_a_late_placement_are_behind_and_a_slow_answer_is_not() {
        let verdict = |figures: Figures| (figures.verdict(), figures.stalled());
        let steady = figures(1000, 999.0, [300.0, 320.0], 20.0);
        assert_eq!(steady.messages_per_produce(), Some(1.5));
        assert_eq!(verdict(steady), ("held", false));
        assert_eq!(
            verdict(figures(1000, 999.0, [300.0, 320.0], 60.0)),
            ("p99", true)
        );
        assert_eq!(
            verdict(figures(1000, 999.0, [300.0, 3000.0], 20.0)),
            ("behind", false)
        );
        assert_eq!(
            verdict(figures(1000, 900.0, [300.0, 300.0], 20.0)),
            ("behind", false)
        );
    }
}
