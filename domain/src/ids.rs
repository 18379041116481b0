//! The ids of the domain, each a type of its own, so that one can't be passed for another.

use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

uuid_id!(
    /// An order: drawn by the placing replica (version 7), or derived from an idempotency key (version 5).
    OrderId
);
uuid_id!(
    /// A customer.
    CustomerId
);
uuid_id!(
    /// A command, drawn where it first arrives or derived from its idempotency key.
    CommandId
);

impl CommandId {
    /// Whether the id was drawn at random (version 7), so that no client can repeat the command under it.
    /// The id of a keyed command or of a message is derived (version 5).
    pub fn is_drawn(self) -> bool {
        self.0.get_version_num() == 7
    }
}

uuid_id!(
    /// A published message; the same whenever it is sent again.
    MessageId
);

/// The number of an order's committed change: 1 as placed, then up by exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// The version of an order as placed.
    pub const FIRST: Self = Self(1);

    /// The version of the next change. It saturates only in theory: an order has a handful of changes.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names of 1 to 64 visible ASCII characters.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Longest accepted, in bytes.
            pub const BYTES_MAX: usize = 64;

            /// Checks the form; `None` if it breaks the rule of the type.
            pub fn parse(text: &str) -> Option<Self> {
                let visible = text.bytes().all(|b| b.is_ascii_graphic());
                let fits = !text.is_empty() && text.len() <= Self::BYTES_MAX;
                (visible && fits).then(|| Self(text.into()))
            }

            /// The text as given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A stock keeping unit: 1 to 64 visible ASCII characters.
    Sku
);
name!(
    /// A shop that prepares orders: 1 to 64 visible ASCII characters.
    ShopId
);
name!(
    /// A courier: 1 to 64 visible ASCII characters.
    CourierId
);

impl Sku {
    /// Whether a URL can name it. `.` and `..` are steps in a path, however they are escaped (RFC 3986,
    /// 6.2.2), so no URL would find an item of that name. Every other SKU works in a URL. The type
    /// doesn't enforce it, because this rule is younger than the first orders.
    pub fn is_addressable(&self) -> bool {
        !matches!(&*self.0, "." | "..")
    }
}
