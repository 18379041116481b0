//! The faults of a simulated network, drawn from a seed: delays, losses and breaks. Leaves acting on them
//! to [`super::links`].

use std::time::Duration;

/// The chances of trouble. The default is a network without any, and without delay.
///
/// Chances are in thousandths. Delays are drawn for every request, answer and message on its own, so
/// calls overtake each other; the clock of tokio's timers ticks in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkFaults {
    /// The shortest delay in one direction.
    pub delay_min: Duration,
    /// The longest delay in one direction.
    pub delay_max: Duration,
    /// A call fails as not sent, at once.
    pub unsent_per_mille: u16,
    /// A request is lost in flight: the call is `Lost` and was not carried out.
    pub lost_requests_per_mille: u16,
    /// An answer is lost in flight: the call is `Lost` and was carried out.
    pub lost_answers_per_mille: u16,
    /// The link breaks when a request or message should arrive, and loses everything in flight.
    pub breaks_per_mille: u16,
}

/// The delays of one call or message, and its fault if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub there: Duration,
    pub back: Duration,
    pub accident: Option<Accident>,
}

/// The fault of one call or message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    Unsent,
    RequestLost,
    AnswerLost,
    Break,
}

/// `SplitMix64` (Steele, Lea, Flood, 2014): the same numbers for a seed on every machine and in every
/// version of every library.
#[derive(Debug)]
pub(super) struct Dice(pub u64);

impl Dice {
    /// Always makes the same number of draws, so that changing one chance leaves the other draws as they
    /// were.
    pub fn fate(&mut self, faults: &NetworkFaults) -> Fate {
        let there = self.between(faults.delay_min, faults.delay_max);
        let back = self.between(faults.delay_min, faults.delay_max);
        let accidents = [
            (faults.unsent_per_mille, Accident::Unsent),
            (faults.lost_requests_per_mille, Accident::RequestLost),
            (faults.lost_answers_per_mille, Accident::AnswerLost),
            (faults.breaks_per_mille, Accident::Break),
        ];
        let mut accident = None;
        for (chance, what) in accidents {
            if self.chance(chance) {
                accident = accident.or(Some(what));
            }
        }
        Fate {
            there,
            back,
            accident,
        }
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, per_mille: u16) -> bool {
        self.draw() % 1000 < u64::from(per_mille)
    }

    fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span_us = longest.saturating_sub(shortest).as_micros();
        let span_us = u64::try_from(span_us).unwrap_or(u64::MAX - 1);
        shortest + Duration::from_micros(self.draw() % (span_us + 1))
    }
}
