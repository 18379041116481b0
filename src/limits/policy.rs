//! A limit in force, with what is derived from it once, and where a caller stands with it.

use std::sync::Arc;

use super::class::Class;
use super::gcra::{Gcra, Pace};
use crate::config::Rate;

/// The most tokens that a replica holds of one bucket. With more, a replica whose caller has moved to another keeps
/// too many from it; with less, a caller of a thousand requests a second needs a call to the store each few ms.
const CHUNK_MAX: u32 = 64;
/// A chunk is this part of the burst, so that a few replicas don't hold most of it.
const CHUNK_PART: u32 = 5;
/// The shortest time for which a replica keeps tokens that nobody spends.
const KEEP_US_MIN: u64 = 10_000_000;

/// A limit in force.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of which requests.
    pub class: Class,
    /// How fast tokens come.
    pub pace: Pace,
    /// The most tokens that a replica holds of one bucket.
    pub chunk: u32,
    /// Microseconds after which a replica gives up tokens that nobody has spent.
    pub keep_us: u64,
    /// `RateLimit-Policy`.
    pub field: Box<str>,
}

impl Policy {
    /// The policy of `rate`.
    pub fn new(class: Class, rate: Rate) -> Arc<Self> {
        let pace = Pace {
            interval_us: rate.interval_us(),
            burst: rate.burst,
        };
        let chunk = (rate.burst / CHUNK_PART).clamp(1, CHUNK_MAX);
        let name = class.as_str();
        let (count, period) = (rate.count, rate.period_s);
        Arc::new(Self {
            class,
            pace,
            chunk,
            // A caller at the limit's own pace spends a chunk within half of that.
            keep_us: KEEP_US_MIN.max(2 * pace.interval_us * u64::from(chunk)),
            field: format!("\"{name}\";q={count};w={period}").into(),
        })
    }

    /// Where a caller stands whose bucket this is, and who has `tokens` beside it.
    pub fn standing(self: &Arc<Self>, bucket: Gcra, tokens: u32, now_us: u64) -> Standing {
        let until_full_us = bucket.until_full_us(self.pace, now_us);
        let available = bucket.available(self.pace, now_us);
        Standing {
            policy: Arc::clone(self),
            remaining: available.saturating_add(tokens).min(self.pace.burst),
            full_in_s: until_full_us.div_ceil(1_000_000),
        }
    }
}

/// Where a caller stands with a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub(super) policy: Arc<Policy>,
    /// Requests that it may make at once.
    pub remaining: u32,
    /// Seconds until it may make as many as after a rest.
    pub full_in_s: u64,
}

impl Standing {
    /// Which limit.
    pub fn class(&self) -> Class {
        self.policy.class
    }

    /// `RateLimit-Policy`.
    pub fn policy_field(&self) -> &str {
        &self.policy.field
    }
}
