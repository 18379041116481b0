//! The classes of requests, each with a limit of its own.

use trackops_domain::access::Action;

/// What a request costs the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A new order.
    Place,
    /// Any other change.
    Write,
    /// A read.
    Read,
    /// A socket, an event stream, or an order that a socket begins to follow.
    Subscribe,
    /// A courier's position.
    Positions,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 5] = [
        Self::Place,
        Self::Write,
        Self::Read,
        Self::Subscribe,
        Self::Positions,
    ];

    /// The class of what a route does; `None` for what operations do, which has no limit.
    pub const fn of(action: Action) -> Option<Self> {
        match action {
            Action::Place => Some(Self::Place),
            Action::Advance | Action::Cancel | Action::WriteStock => Some(Self::Write),
            Action::ReadOrders | Action::ReadStock | Action::ReadReservations => Some(Self::Read),
            Action::Locate => Some(Self::Positions),
            Action::ReadAdmin | Action::WriteAdmin => None,
        }
    }

    /// The name in header fields, metrics and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Write => "write",
            Self::Read => "read",
            Self::Subscribe => "subscribe",
            Self::Positions => "positions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_what_operations_do_has_a_class() {
        for action in Action::ALL {
            assert_eq!(Class::of(action).is_none(), action.is_admin(), "{action:?}");
        }
    }
}
