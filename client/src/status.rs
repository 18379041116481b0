//! Where an order stands.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Placed; inventory hasn't answered yet.
    Pending,
    /// Everything is reserved.
    Confirmed,
    /// In the kitchen or warehouse.
    Preparing,
    /// With the courier.
    InTransit,
    /// Arrived. Final.
    Delivered,
    /// Something wasn't in stock. Final.
    Rejected,
    /// Cancelled by somebody. Final.
    Cancelled,
    /// A status that is newer than this client, as the server names it.
    Other(Box<str>),
}

const NAMES: [(&str, Status); 7] = [
    ("PENDING", Status::Pending),
    ("CONFIRMED", Status::Confirmed),
    ("PREPARING", Status::Preparing),
    ("IN_TRANSIT", Status::InTransit),
    ("DELIVERED", Status::Delivered),
    ("REJECTED", Status::Rejected),
    ("CANCELLED", Status::Cancelled),
];

impl Status {
    /// Its name on the wire: `IN_TRANSIT`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "PENDING",
            Self::Confirmed => "CONFIRMED",
            Self::Preparing => "PREPARING",
            Self::InTransit => "IN_TRANSIT",
            Self::Delivered => "DELIVERED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
            Self::Other(name) => name,
        }
    }

    /// Whether the order stays so for good. An unknown status isn't known to be final.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Delivered | Self::Rejected | Self::Cancelled)
    }
}

impl From<&str> for Status {
    fn from(name: &str) -> Self {
        let known = NAMES.into_iter().find(|(known, _)| *known == name);
        known.map_or_else(|| Self::Other(name.into()), |(_, status)| status)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::from(&*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_new_ones_are_kept() {
        for (name, status) in NAMES {
            assert_eq!(status.as_str(), name);
            assert_eq!(Status::from(name), status);
        }
        let newer: Status = serde_json::from_str(r#""LOST""#).expect("a status");
        assert_eq!((newer.as_str(), newer.is_final()), ("LOST", false));
    }
}
