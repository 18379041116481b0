//! Which versioned frame may follow which in one subscription. An update is always the next version,
//! everything else is a snapshot, and a snapshot never goes back (invariant I7).

use trackops_domain::ids::Version;

/// How far one subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The version that the client has; `None` before the first snapshot if the client named no version.
    at: Option<Version>,
    /// Nothing has been sent yet: the first snapshot may be of any version, because the client's
    /// `since` may be above the order's current one.
    fresh: bool,
}

impl Sequence {
    /// A subscription whose client has `since`.
    pub const fn starting_at(since: Option<Version>) -> Self {
        Self {
            at: since,
            fresh: true,
        }
    }

    /// The version that the client has.
    pub const fn at(&self) -> Option<Version> {
        self.at
    }

    /// Moves on by the update that leads to `version`. `false`, and nothing changes, if that is not the next
    /// version.
    #[must_use]
    pub fn update(&mut self, version: Version) -> bool {
        let is_next = self
            .at
            .is_some_and(|at| at.0.checked_add(1) == Some(version.0));
        if is_next {
            *self = Self {
                at: Some(version),
                fresh: false,
            };
        }
        is_next
    }

    /// Moves to a snapshot of `version`. `false`, and nothing changes, if the client has that version or a
    /// later one.
    #[must_use]
    pub fn snapshot(&mut self, version: Version) -> bool {
        let is_news = self.fresh || self.at < Some(version);
        if is_news {
            *self = Self {
                at: Some(version),
                fresh: false,
            };
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_snapshot_skips_and_nothing_goes_back() {
        let mut sequence = Sequence::starting_at(Some(Version(3)));
        assert!(!sequence.update(Version(3)));
        assert!(!sequence.update(Version(5)));
        assert!(sequence.update(Version(4)));
        assert!(!sequence.snapshot(Version(4)));
        assert!(sequence.snapshot(Version(7)));
        assert!(!sequence.update(Version(7)));
        assert!(sequence.update(Version(8)));
        assert_eq!(sequence.at(), Some(Version(8)));
    }

    #[test]
    fn a_client_ahead_of_the_order_is_put_right_once() {
        let mut sequence = Sequence::starting_at(Some(Version(9)));
        assert!(sequence.snapshot(Version(2)));
        assert!(!sequence.snapshot(Version(2)));
        assert!(sequence.update(Version(3)));
    }

    #[test]
    fn without_since_only_a_snapshot_begins() {
        let mut sequence = Sequence::starting_at(None);
        assert!(!sequence.update(Version(1)));
        assert!(sequence.snapshot(Version(1)));
    }
}
