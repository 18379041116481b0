//! What a run is asked to do, and what came of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Summary;

/// How much, how fast, for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests a second; 0 sends as fast as the connections allow.
    pub rate: u32,
    /// The first so many requests are sent and counted, but not timed.
    pub warm_up_slots: u64,
    /// Requests that are timed, after those.
    pub measured_slots: u64,
    /// Gives up when a request is sent this late: the rate is clearly too high.
    pub lag_max: Option<Duration>,
    /// Takes no more slots after so long; those that are left weren't sent, and nobody minds.
    pub ends_after: Option<Duration>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answers 2xx, those of the warm-up too.
    pub accepted: u64,
    /// Other answers by status.
    pub refused: BTreeMap<u16, u64>,
    /// Sent, but no answer: they may have been carried out.
    pub unknown: u64,
    /// Due, but never sent.
    pub not_sent: u64,
    /// The first error, as an example.
    pub error: Option<String>,
    /// 2xx a second among the timed ones.
    pub rate: f64,
    /// Latency from the due time, timed answers 2xx only.
    pub latency: Summary,
}

impl Plan {
    /// A plan by time rather than by count.
    pub fn timed(rate: u32, warm_up: Duration, measured: Duration) -> Self {
        let slots =
            |time: Duration| u64::from(rate) * u64::try_from(time.as_millis()).unwrap_or(0) / 1000;
        Self {
            rate,
            warm_up_slots: slots(warm_up),
            measured_slots: slots(measured),
            lag_max: None,
            ends_after: None,
        }
    }

    /// `count` requests, all timed; a rate of 0 sends them as fast as the connections allow.
    pub fn counted(rate: u32, count: u64) -> Self {
        Self {
            rate,
            warm_up_slots: 0,
            measured_slots: count,
            lag_max: None,
            ends_after: None,
        }
    }

    /// As fast as the connections allow for `time`, each request timed from when it is sent.
    pub fn full_speed(time: Duration) -> Self {
        Self {
            rate: 0,
            warm_up_slots: 0,
            measured_slots: u64::MAX,
            lag_max: None,
            ends_after: Some(time),
        }
    }
}

impl Outcome {
    /// Everything was sent, answered and accepted.
    pub fn is_clean(&self) -> bool {
        self.refused.is_empty() && self.unknown == 0 && self.not_sent == 0
    }

    /// One line for a person. Writing into a string can't fail.
    pub fn describe(&self) -> String {
        let latency = self.latency;
        let mut line = format!(
            "{:.0}/s, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
            self.rate, latency.p50_ms, latency.p99_ms, latency.p99_9_ms
        );
        if !self.is_clean() {
            let _ = write!(
                line,
                " (refused {:?}, unknown {}, not sent {}, {})",
                self.refused,
                self.unknown,
                self.not_sent,
                self.error.as_deref().unwrap_or("no error")
            );
        }
        line
    }
}
