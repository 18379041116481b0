//! The owner of a row in the outboxes' one table. Leaves the rows to [`super::outbox`].

/// The role that publishes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Orders,
    Inventory,
}

impl Owner {
    /// The stored number of the owner.
    pub(super) const fn id(self) -> i64 {
        match self {
            Self::Orders => 0,
            Self::Inventory => 1,
        }
    }
}
