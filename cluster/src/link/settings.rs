//! The limits of the real transport, each with the reason for its number.

use std::time::Duration;

use crate::shard::ShardCount;

/// How links behave. `LinkSettings::new` has numbers that suit a cluster in one data centre.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The shard count of this replica; a peer with another count is refused.
    pub shards: ShardCount,
    /// The limit for connection and handshake together, on both ends. A call waits this long at most for
    /// a link that is being made. A second is far more than a working network needs.
    pub connect_limit: Duration,
    /// A ping is sent after this long without a frame from the peer.
    pub keepalive_every: Duration,
    /// An unanswered ping breaks the link after this long. Together with the interval above, a silent
    /// peer is found 1.5 to 2.5 s after its last frame: about when its lease ends.
    pub keepalive_limit: Duration,
    /// The most calls in flight to one peer, queued and unanswered together, and the most calls of one
    /// peer that are served at a time. Past it a call fails with [`super::LinkError::Full`].
    pub calls_max: usize,
    /// The most bytes of those requests together, in each direction. Past it a call fails with
    /// [`super::LinkError::Full`], and a peer's call is not read. It allows a few KiB for each call.
    pub calls_bytes_max: usize,
    /// The most one-way messages queued to one peer, and the most received from one peer and not yet
    /// handled.
    pub messages_max: usize,
    /// The most bytes of those messages together, in each direction.
    pub messages_bytes_max: usize,
    /// The most bytes in one request, answer or message: well above the largest order with its history.
    pub message_bytes_max: usize,
    /// Incoming connections. Every peer has one, so this bounds the size of a cluster.
    pub peers_max: usize,
    /// Incoming connections that haven't proven yet that they are replicas. Further ones are closed without an
    /// answer.
    pub strangers_max: usize,
    /// The pause after the first failed attempt; doubles with each further one.
    pub backoff_first: Duration,
    /// The longest pause. A peer that is back is noticed within this time; half a second is soon enough.
    pub backoff_max: Duration,
    /// A link that is down is forgotten after this long without a request for it.
    pub forget_after: Duration,
    /// The time between two looks at the files of certificates: an expired one is replaced hours ahead, so
    /// a few seconds more don't matter.
    pub certificates_every: Duration,
    /// The wire versions that this replica speaks. Set only by tests of a rolling upgrade.
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
            certificates_every: Duration::from_secs(5),
            versions: WireVersions::CURRENT,
        }
    }
}

/// The range of wire versions that a replica speaks: its own and the one before, so that a cluster
/// can be upgraded replica by replica.
///
/// An addition (a field, a kind of frame) needs no new version: older replicas skip unknown fields, and
/// answer an unknown kind of request with an error that means "not delivered".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireVersions {
    /// Its own.
    pub newest: u32,
    /// The oldest that it still speaks.
    pub oldest: u32,
}

impl WireVersions {
    /// The versions of this program. There is nothing before version 1.
    pub const CURRENT: Self = Self {
        newest: 1,
        oldest: 1,
    };

    /// The highest version that both speak.
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
