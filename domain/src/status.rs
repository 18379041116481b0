//! The seven statuses and the legal steps between them.

use std::fmt;

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Placed, and stock asked for.
    Pending,
    /// Stock reserved.
    Confirmed,
    /// The kitchen or warehouse works on it.
    Preparing,
    /// A courier carries it.
    InTransit,
    /// Handed over. Final.
    Delivered,
    /// Not in stock. Final.
    Rejected,
    /// Called off by a client or by a time-out. Final.
    Cancelled,
}

impl Status {
    /// All statuses, in the order of an order's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Confirmed,
        Self::Preparing,
        Self::InTransit,
        Self::Delivered,
        Self::Rejected,
        Self::Cancelled,
    ];

    /// The name on the wire and in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Confirmed => "CONFIRMED",
            Self::Preparing => "PREPARING",
            Self::InTransit => "IN_TRANSIT",
            Self::Delivered => "DELIVERED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether no step leads away from it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Rejected | Self::Cancelled)
    }

    /// The steps that a client may take from here.
    pub const fn client_steps(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Cancelled],
            Self::Confirmed => &[Self::Preparing, Self::Cancelled],
            Self::Preparing => &[Self::InTransit, Self::Cancelled],
            Self::InTransit => &[Self::Delivered],
            Self::Delivered | Self::Rejected | Self::Cancelled => &[],
        }
    }

    /// The steps that anyone, the saga included, may take from here.
    pub const fn steps(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Confirmed, Self::Rejected, Self::Cancelled],
            _ => self.client_steps(),
        }
    }

    /// Whether the step to it may name the courier who takes the order to the customer.
    pub const fn may_name_courier(self) -> bool {
        matches!(self, Self::Preparing | Self::InTransit)
    }

    /// Whether `later` can still be reached from here by one or more legal steps.
    pub fn can_reach(self, later: Self) -> bool {
        self.steps()
            .iter()
            .any(|step| *step == later || step.can_reach(later))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
