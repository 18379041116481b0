//! What a replica knows of one caller's bucket, and the tokens that it has drawn from it. Pure: the time comes in, in
//! microseconds. Leaves drawing to [`super::limiter`].
//!
//! What it holds and what is on its way are together at most a chunk. So all replicas admit in any time at most
//! rate × time + burst + replicas × chunk.

use super::gcra::{Gcra, Pace};
use super::policy::Policy;

/// The tokens of one caller and class.
#[derive(Debug, Default)]
pub struct Purse {
    /// Drawn and not spent.
    tokens: u32,
    /// When they are given up.
    kept_until_us: u64,
    /// The bucket as of the last draw. It may hold less, never more: others draw from it too.
    shared: Gcra,
    /// This replica's share, for while the store is away.
    own: Gcra,
    /// A draw is under way.
    is_drawing: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It was paid.
    Paid {
        /// Few tokens are left: it is time to draw.
        is_short: bool,
    },
    /// The bucket is empty for so long, in microseconds.
    Refused {
        /// Until there is a token.
        wait_us: u64,
    },
    /// There are no tokens here, and there may be some in the store.
    Unknown,
}

impl Purse {
    /// Pays one request with a token that was drawn.
    pub fn spend(&mut self, policy: &Policy, now_us: u64) -> Spent {
        if self.count(now_us) > 0 {
            self.tokens -= 1;
            let is_short = self.tokens <= policy.chunk / 2;
            return Spent::Paid {
                is_short: is_short && self.shared.available(policy.pace, now_us) > 0,
            };
        }
        match self.shared.wait_us(policy.pace, now_us) {
            0 => Spent::Unknown,
            wait_us => Spent::Refused { wait_us },
        }
    }

    /// How many tokens to draw; `None` while a draw is under way.
    pub fn begin_draw(&mut self, policy: &Policy, now_us: u64) -> Option<u32> {
        let wanted = policy.chunk.saturating_sub(self.count(now_us));
        if self.is_drawing || wanted == 0 {
            return None;
        }
        self.is_drawing = true;
        Some(wanted)
    }

    /// A draw brought `granted` tokens, and the bucket is full in `full_in_us`. `share`: see [`Self::spend_share`].
    pub fn drawn(
        &mut self,
        policy: &Policy,
        share: Pace,
        now_us: u64,
        granted: u32,
        full_in_us: u64,
    ) {
        self.is_drawing = false;
        self.tokens = self.count(now_us).saturating_add(granted);
        self.kept_until_us = now_us.saturating_add(policy.keep_us);
        self.shared = Gcra::full_in(now_us, full_in_us);
        // So that a store that goes away doesn't give everybody another burst.
        self.own.charge(share, now_us, granted);
    }

    /// A draw failed. Tokens may have been granted: those are lost.
    pub fn draw_failed(&mut self) {
        self.is_drawing = false;
    }

    /// Pays one request from what this replica takes by itself; else how long to wait, in microseconds.
    pub fn spend_share(&mut self, share: Pace, now_us: u64) -> Result<(), u64> {
        match self.own.take(share, now_us, 1) {
            0 => Err(self.own.wait_us(share, now_us)),
            _ => Ok(()),
        }
    }

    /// The tokens that are still kept.
    pub fn count(&mut self, now_us: u64) -> u32 {
        if now_us >= self.kept_until_us {
            self.tokens = 0;
        }
        self.tokens
    }

    /// The bucket as of the last draw.
    pub fn shared(&self) -> Gcra {
        self.shared
    }

    /// This replica's share.
    pub fn own(&self) -> Gcra {
        self.own
    }
}
