//! The limits of the real transport, each with the reason for its number.

use std::time::Duration;

use crate::shard::ShardCount;

/// How links behave. `LinkSettings::new` has numbers that suit a cluster in one data centre.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// What this replica was set up for; a peer with another count is refused.
    pub shards: ShardCount,
    /// For connection and handshake together, on both ends. A second: far more than a working network
    /// needs, and what a call waits at most for a link that is being made.
    pub connect_limit: Duration,
    /// A ping goes out after this long without a sign of the peer.
    pub keepalive_every: Duration,
    /// An unanswered ping breaks the link after this long. With the above a silent peer is found
    /// 1.5 to 2.5 s after its last sign: about when its lease ends.
    pub keepalive_limit: Duration,
    /// Calls on their way to one peer, queued and unanswered together, and calls of one peer served at
    /// a time. Beyond it a call is [`super::LinkError::Full`].
    pub calls_max: usize,
    /// What the requests of those calls weigh together, each way: beyond it a call is
    /// [`super::LinkError::Full`], and a peer's is not read. A few KiB for each call.
    pub calls_bytes_max: usize,
    /// One-way messages queued to one peer, and received from one peer but not yet taken.
    pub messages_max: usize,
    /// What those messages weigh together, each way.
    pub messages_bytes_max: usize,
    /// The most in one request, answer or message. Well above the largest order with its history.
    pub message_bytes_max: usize,
    /// Incoming connections. Every peer has one, so this bounds the size of a cluster.
    pub peers_max: usize,
    /// Incoming connections that haven't proven the secret yet; more are closed unheard.
    pub strangers_max: usize,
    /// The pause after the first failed attempt; doubles with each further one.
    pub backoff_first: Duration,
    /// The longest pause: how late a peer that is back is noticed, for half a second is soon enough.
    pub backoff_max: Duration,
    /// A link that is down and that nobody has asked for this long is forgotten.
    pub forget_after: Duration,
    /// What this replica speaks. Set only by tests of a rolling upgrade.
    pub versions: WireVersions,
}

impl LinkSettings {
    /// The usual limits for a cluster of `shards`.
    pub fn new(shards: ShardCount) -> Self {
        Self {
            shards,
            connect_limit: Duration::from_secs(1),
            keepalive_every: Duration::from_secs(1),
            keepalive_limit: Duration::from_millis(1500),
            calls_max: 4096,
            calls_bytes_max: 32 * 1024 * 1024,
            messages_max: 1024,
            messages_bytes_max: 16 * 1024 * 1024,
            message_bytes_max: 4 * 1024 * 1024,
            peers_max: 256,
            strangers_max: 64,
            backoff_first: Duration::from_millis(25),
            backoff_max: Duration::from_millis(500),
            forget_after: Duration::from_secs(60),
            versions: WireVersions::CURRENT,
        }
    }
}

/// The range of wire versions that a replica speaks: its own and the one before, so that a cluster
/// can be upgraded replica by replica.
///
/// What is only added (a field, a kind of frame) needs no new version: older replicas skip fields,
/// and answer requests of a kind that they don't know with an error that means "not delivered".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireVersions {
    /// Its own.
    pub newest: u32,
    /// The oldest that it still speaks.
    pub oldest: u32,
}

impl WireVersions {
    /// Of this program. There is nothing before version 1.
    pub const CURRENT: Self = Self {
        newest: 1,
        oldest: 1,
    };

    /// The version that both speak, the highest there is.
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.newest.min(other.newest);
        (highest >= self.oldest.max(other.oldest)).then_some(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_speak_and_strangers_do_not() {
        let versions = |oldest, newest| WireVersions { newest, oldest };
        assert_eq!(versions(1, 1).common(versions(1, 2)), Some(1));
        assert_eq!(versions(2, 3).common(versions(1, 2)), Some(2));
        assert_eq!(versions(3, 4).common(versions(3, 4)), Some(4));
        assert_eq!(versions(2, 3).common(versions(1, 1)), None);
        assert_eq!(versions(1, 1).common(versions(2, 3)), None);
    }
}
