//! The bounds and timings of the actors, each with the reason for its default.

use std::time::Duration;

use trackops_domain::saga::Policy;

use crate::config::OrdersConfig;

/// How the actors behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The saga's timings.
    pub policy: Policy,
    /// A live order's actor ends after so long without work: most orders see their next step later than that.
    pub passivate_live: Duration,
    /// A finished order's actor ends after so long without work: only late readers want it.
    pub passivate_final: Duration,
    /// Live actors at most; beyond it the actors that have been idle longest end. About 10 KiB each.
    pub actors_max: usize,
    /// What the orders of live actors weigh at most, beside those 10 KiB: an order usually weighs 1 KiB, and
    /// may weigh thirty.
    pub actors_bytes_max: u64,
    /// Commands waiting for one order at most. An order sees a command a minute; more is a fault.
    pub order_waiting_max: u32,
    /// Commands waiting on this replica at most: a second's worth at the rate of a small machine.
    pub node_waiting_max: u32,
    /// What those commands weigh at most: a few KiB for each of [`Settings::node_waiting_max`]. While a
    /// command runs, its order exists about five times: as requested, stored, published, cached and answered.
    pub node_waiting_bytes_max: u64,
    /// Requests that wait at most for one shard that is moving to another replica: a move takes milliseconds,
    /// and a shard sees a small part of the replica's requests.
    pub shard_held_max: u32,
    /// Failures within [`Settings::failure_window`] after which an order is quarantined.
    pub failures_max: usize,
    /// The time within which [`Settings::failures_max`] counts.
    pub failure_window: Duration,
    /// Parallel commits. With two, one's flush overlaps the other's execution; more only shrink the batches.
    pub commit_queues: usize,
    /// How often the scanner looks for passed deadlines.
    pub scan_every: Duration,
    /// An order that waits for inventory for longer is stuck: a few deadlines have passed by then.
    pub stuck_after: Duration,
    /// Deadlines woken per scan at most, so that a backlog starts no storm of wakes.
    pub wakes_per_scan_max: u32,
    /// An answer that takes longer is given up; the command may still happen.
    pub answer_timeout: Duration,
}

impl From<&OrdersConfig> for Settings {
    fn from(config: &OrdersConfig) -> Self {
        let ms = Duration::from_millis;
        Self {
            policy: Policy {
                reservation_timeout: ms(config.reservation_timeout_ms),
                ask_again_max: config.reservation_ask_again_max,
                reservation_wait_max: ms(config.reservation_wait_max_ms),
                release_timeout: ms(config.release_timeout_ms),
            },
            passivate_live: ms(config.passivate_live_ms),
            passivate_final: ms(config.passivate_final_ms),
            actors_max: config.actors_max,
            actors_bytes_max: config.actors_bytes_max,
            order_waiting_max: config.order_waiting_max,
            node_waiting_max: config.node_waiting_max,
            node_waiting_bytes_max: config.node_waiting_bytes_max,
            shard_held_max: 2_000,
            failures_max: 5,
            failure_window: Duration::from_secs(60),
            commit_queues: config.writer_lanes,
            scan_every: Duration::from_secs(1),
            stuck_after: config.saga_stuck_after(),
            wakes_per_scan_max: 500,
            answer_timeout: Duration::from_secs(15),
        }
    }
}

/// The defaults of the configuration.
impl Default for Settings {
    fn default() -> Self {
        Self::from(&OrdersConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_the_domains_tests_is_the_default() {
        assert_eq!(Settings::default().policy, Policy::default());
    }
}
