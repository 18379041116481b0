//! The names of inventory's two groups on the bus: one consumes, and the offsets of the other mark how
//! far it has replied.

/// The consumer group.
pub const GROUP: &str = "trackops-inventory";

/// The group whose offsets mark how far inventory has replied. It has no members.
pub const REPLIED_GROUP: &str = "trackops-inventory-replied";
