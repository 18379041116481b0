//! The ids of what must always hold, shared by tests and by production counters.

/// An invariant. Breaking one is a defect, counted as `trackops_invariant_violations_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// I1: no two committed versions of an order carry the same number; versions have no gap.
    OneWriter,
    /// I2: no row is committed under an epoch older than the shard's.
    Fenced,
    /// I3: nothing acknowledged, pushed, cached or published is lost by killing any process.
    DurableFirst,
    /// I4: the journal holds no illegal transition.
    Legal,
    /// I5: every committed event is published at least once, first occurrences in version order.
    Outbox,
    /// I6: reserved + available = on hand, none negative; a final order's stock is settled exactly once.
    Stock,
    /// I7: a subscriber sees strictly rising versions; only a snapshot may skip.
    Live,
    /// I8: a read after an acknowledged write never shows an older version.
    Fresh,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OneWriter,
        Self::Fenced,
        Self::DurableFirst,
        Self::Legal,
        Self::Outbox,
        Self::Stock,
        Self::Live,
        Self::Fresh,
    ];

    /// The label of the counter and of the tests.
    pub const fn id(self) -> &'static str {
        match self {
            Self::OneWriter => "I1",
            Self::Fenced => "I2",
            Self::DurableFirst => "I3",
            Self::Legal => "I4",
            Self::Outbox => "I5",
            Self::Stock => "I6",
            Self::Live => "I7",
            Self::Fresh => "I8",
        }
    }
}

/// I1 and I4 over a replayed log: versions 1, 2, 3 … and only legal steps.
pub fn check_log(log: &[(crate::ids::Version, crate::status::Status)]) -> Result<(), Invariant> {
    use crate::status::Status;
    for (index, (version, status)) in log.iter().enumerate() {
        if version.0 as usize != index + 1 {
            return Err(Invariant::OneWriter);
        }
        let legal = match index.checked_sub(1) {
            None => *status == Status::Pending,
            Some(before) => log[before].1.steps().contains(status),
        };
        if !legal {
            return Err(Invariant::Legal);
        }
    }
    Ok(())
}
