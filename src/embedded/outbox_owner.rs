//! Whose messages a row of the outboxes' one table is. Leaves the rows to [`super::outbox`].

/// Whose messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Orders,
    Inventory,
}

impl Owner {
    /// As stored.
    pub(super) const fn id(self) -> i64 {
        match self {
            Self::Orders => 0,
            Self::Inventory => 1,
        }
    }
}
