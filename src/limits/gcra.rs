//! The generic cell rate algorithm (ITU-T I.371): a bucket of tokens that fills steadily, kept as one number, the
//! time at which it is full. Pure: the time comes in, in microseconds of any clock that doesn't go back.

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Microseconds from one token to the next.
    pub interval_us: u64,
    /// Tokens of a full bucket.
    pub burst: u32,
}

impl Pace {
    /// What one of `nodes` that don't know of each other takes of this pace: the same part for each, and at least
    /// one token in a while.
    #[must_use]
    pub fn share(self, nodes: u32) -> Self {
        let nodes = nodes.max(1);
        Self {
            interval_us: self.interval_us.saturating_mul(u64::from(nodes)),
            burst: (self.burst / nodes).max(1),
        }
    }

    /// Microseconds until an empty bucket is full.
    pub fn refill_us(self) -> u64 {
        self.interval_us.saturating_mul(u64::from(self.burst))
    }
}

/// A bucket; full at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    full_at_us: u64,
}

impl Gcra {
    /// A bucket that is full in `full_in_us`.
    pub fn full_in(now_us: u64, full_in_us: u64) -> Self {
        Self {
            full_at_us: now_us.saturating_add(full_in_us),
        }
    }

    /// Microseconds until it is full.
    pub fn until_full_us(self, pace: Pace, now_us: u64) -> u64 {
        // It can't be emptier than empty: a larger number is of an earlier pace.
        self.full_at_us.saturating_sub(now_us).min(pace.refill_us())
    }

    /// The tokens in it.
    pub fn available(self, pace: Pace, now_us: u64) -> u32 {
        let left = pace.refill_us() - self.until_full_us(pace, now_us);
        // At most the burst, by the definition of `refill_us`.
        u32::try_from(left / pace.interval_us.max(1)).unwrap_or(u32::MAX)
    }

    /// Microseconds until there is a token; 0 if there is one.
    pub fn wait_us(self, pace: Pace, now_us: u64) -> u64 {
        let room = pace.refill_us() - pace.interval_us;
        self.until_full_us(pace, now_us).saturating_sub(room)
    }

    /// Takes `wanted` tokens, or as many as there are; how many.
    pub fn take(&mut self, pace: Pace, now_us: u64, wanted: u32) -> u32 {
        let taken = self.available(pace, now_us).min(wanted);
        self.charge(pace, now_us, taken);
        taken
    }

    /// Takes `tokens` that were spent, also if there were fewer: then it is empty.
    pub fn charge(&mut self, pace: Pace, now_us: u64, tokens: u32) {
        let cost = pace.interval_us.saturating_mul(u64::from(tokens));
        let until_full = self.until_full_us(pace, now_us).saturating_add(cost);
        *self = Self::full_in(now_us, until_full.min(pace.refill_us()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn pace() -> impl Strategy<Value = Pace> {
        (100_u64..5_000_000, 1_u32..200)
            .prop_map(|(interval_us, burst)| Pace { interval_us, burst })
    }

    #[test]
    fn a_rest_gives_exactly_the_burst() {
        let pace = Pace {
            interval_us: 1000,
            burst: 5,
        };
        let mut bucket = Gcra::default();
        let now = 10_000;
        assert_eq!(bucket.take(pace, now, 4), 4);
        assert_eq!(bucket.take(pace, now, 4), 1);
        assert_eq!(bucket.take(pace, now, 1), 0);
        assert_eq!(bucket.wait_us(pace, now), 1000);
        assert_eq!(bucket.take(pace, now + 999, 1), 0);
        assert_eq!(bucket.wait_us(pace, now + 999), 1);
        assert_eq!(bucket.take(pace, now + 1000, 1), 1);
        assert_eq!(bucket.available(pace, now + 1_000_000), 5);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_rate_and_burst(pace in pace(), asks in vec((0_u64..3_000_000, 1_u32..20), 1..80)) {
            let (mut bucket, mut now) = (Gcra::default(), 0);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (pause, wanted) in asks {
                now += pause;
                taken.push((now, bucket.take(pace, now, wanted).into()));
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (at, count) in &taken[first..] {
                    sum += count;
                    prop_assert!(sum <= (at - from) / pace.interval_us + u64::from(pace.burst));
                }
            }
        }

        #[test]
        fn after_the_wait_there_is_one_and_not_before(pace in pace(), wanted in 1_u32..300, pause in 0_u64..5_000_000) {
            let mut bucket = Gcra::default();
            bucket.take(pace, 0, wanted);
            let wait = bucket.wait_us(pace, pause);
            prop_assert_eq!(wait == 0, bucket.available(pace, pause) > 0);
            prop_assert!(bucket.available(pace, pause + wait) > 0);
            if wait > 0 {
                prop_assert_eq!(bucket.available(pace, pause + wait - 1), 0);
            }
        }

        #[test]
        fn shares_are_together_no_more_than_the_whole(pace in pace(), nodes in 1_u32..50) {
            let share = pace.share(nodes);
            prop_assert_eq!(share.interval_us, pace.interval_us * u64::from(nodes));
            prop_assert!(share.burst >= 1 && share.burst * nodes <= pace.burst.max(nodes));
        }
    }
}
