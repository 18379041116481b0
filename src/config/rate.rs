//! A limit of requests as the configuration writes it: `60/min burst 20`.

/// So many requests in a period, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a period.
    pub count: u32,
    /// The period in seconds: 1, 60 or 3600.
    pub period_s: u32,
    /// Requests at once after a rest.
    pub burst: u32,
}

/// The most in a second. The time from one request to the next is kept in whole microseconds, so a rate is off by a
/// hundredth at most.
const PER_SECOND_MAX: u32 = 10_000;
/// The longest time in which a burst may fill again. Whoever has been silent for so long has the whole burst, so a
/// limiter may forget it.
pub const REFILL_US_MAX: u64 = 3_600_000_000;

/// What [`Rate::parse`] takes, for people.
pub(super) const FORM: &str = "must be off, or a rate such as 60/min burst 20: requests in s, min or h, at most \
                               10000 in a second, with a burst of at least 1 that fills again within an hour";

impl Rate {
    /// `None` for a text that is no limit; `Some(None)` for `off`.
    pub fn parse(text: &str) -> Option<Option<Self>> {
        let mut words = text.split_ascii_whitespace();
        let rate = match words.next()? {
            "off" => None,
            rate => Some(rate.split_once('/')?),
        };
        let burst = match words.next() {
            None => None,
            Some("burst") => Some(words.next()?.parse().ok()?),
            Some(_) => return None,
        };
        let Some((count, period)) = rate else {
            return (burst.is_none() && words.next().is_none()).then_some(None);
        };
        let count = count.parse().ok()?;
        let period_s = match period {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            _ => return None,
        };
        let burst = burst.unwrap_or(count);
        let rate = Self {
            count,
            period_s,
            burst,
        };
        (words.next().is_none() && rate.is_possible()).then_some(Some(rate))
    }

    /// Microseconds from one request to the next, at a steady pace. Rounded up, so never faster than the rate.
    pub fn interval_us(&self) -> u64 {
        (u64::from(self.period_s) * 1_000_000).div_ceil(u64::from(self.count).max(1))
    }

    fn is_possible(&self) -> bool {
        let refill = self.interval_us().saturating_mul(u64::from(self.burst));
        let per_period_max = PER_SECOND_MAX * self.period_s;
        (1..=per_period_max).contains(&self.count) && self.burst > 0 && refill <= REFILL_US_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        let rate = |count, period_s, burst| {
            Some(Some(Rate {
                count,
                period_s,
                burst,
            }))
        };
        for (text, read) in [
            ("60/min burst 20", rate(60, 60, 20)),
            ("60/min", rate(60, 60, 60)),
            (" 5/s  burst 1 ", rate(5, 1, 1)),
            ("1/h", rate(1, 3600, 1)),
            ("10000/s burst 10000", rate(10_000, 1, 10_000)),
            ("off", Some(None)),
        ] {
            assert_eq!(Rate::parse(text), read, "{text}");
        }
        for text in [
            "",
            "0",
            "0/min",
            "60",
            "60/",
            "/min",
            "60/day",
            "60/min burst",
            "60/min burst 0",
            "60/min burst 20 30",
            "60/min 20",
            "-1/s",
            "1.5/s",
            "10001/s",
            "1/h burst 2",
            "off burst 3",
            "off off",
            "99999999999/s",
        ] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_interval_is_never_shorter_than_the_rate() {
        for (text, interval) in [
            ("7/s", 142_858),
            ("60/min", 1_000_000),
            ("1/h", 3_600_000_000),
        ] {
            let rate = Rate::parse(text).flatten().expect(text);
            assert_eq!(rate.interval_us(), interval, "{text}");
        }
    }
}
