//! What a route does, as far as roles care.

/// The kinds of things that a caller asks for. Every route has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Place an order.
    Place,
    /// Show, list or watch orders, and read their history.
    ReadOrders,
    /// Ask an order for its next step, which may be its cancellation.
    Advance,
    /// Cancel an order.
    Cancel,
    /// Report where the courier of an order is.
    Locate,
    /// Read levels and adjustments of stock.
    ReadStock,
    /// Set and adjust levels of stock.
    WriteStock,
    /// Read what is reserved for an order.
    ReadReservations,
    /// Read what operations see.
    ReadAdmin,
    /// Do what operations do.
    WriteAdmin,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 10] = [
        Self::Place,
        Self::ReadOrders,
        Self::Advance,
        Self::Cancel,
        Self::Locate,
        Self::ReadStock,
        Self::WriteStock,
        Self::ReadReservations,
        Self::ReadAdmin,
        Self::WriteAdmin,
    ];

    /// Whether it changes nothing.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::ReadOrders | Self::ReadStock | Self::ReadReservations | Self::ReadAdmin
        )
    }

    /// Whether it belongs to operations.
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::ReadAdmin | Self::WriteAdmin)
    }

    /// The name in audit rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::ReadOrders => "read-orders",
            Self::Advance => "advance",
            Self::Cancel => "cancel",
            Self::Locate => "locate",
            Self::ReadStock => "read-stock",
            Self::WriteStock => "write-stock",
            Self::ReadReservations => "read-reservations",
            Self::ReadAdmin => "read-admin",
            Self::WriteAdmin => "write-admin",
        }
    }
}
