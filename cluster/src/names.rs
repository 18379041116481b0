//! The names of this crate's metrics: base units, `_total` for counters. Dashboards rely on them.

/// Shards claimed or taken from an offer.
pub const SHARD_CLAIMS: &str = "trackops_shard_claims_total";
/// Planned moves begun by this replica, by `outcome`.
pub const SHARD_MOVES: &str = "trackops_shard_moves_total";
/// Duration of a successful hand-over, from the hold to the next owner's answer.
pub const SHARD_HANDOFF_DURATION: &str = "trackops_shard_handoff_duration_seconds";
/// Whether this replica's link to `peer` is up (gauge, 1 or 0).
pub const LINK_UP: &str = "trackops_link_up";
/// Bytes of payload by `peer` and `direction`.
pub const LINK_BYTES: &str = "trackops_link_bytes_total";
/// Calls to `peer`, by `outcome`.
pub const LINK_CALLS: &str = "trackops_link_calls_total";
/// Calls accepted from `peer`.
pub const LINK_SERVED: &str = "trackops_link_served_total";
/// Incoming connections that were refused, by `reason`.
pub const LINK_REFUSED: &str = "trackops_link_refused_total";
/// When this replica's certificate for links expires, as Unix time (gauge).
pub const LINK_CERTIFICATE_EXPIRES: &str = "trackops_link_certificate_expires_seconds";
