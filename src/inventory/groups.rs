//! The names of inventory's groups on the bus: the one that consumes, and the one whose offsets say up to
//! where it has replied.

/// The consumer group.
pub const GROUP: &str = "trackops-inventory";

/// The group whose offsets are the marks. It has no members.
pub const REPLIED_GROUP: &str = "trackops-inventory-replied";
