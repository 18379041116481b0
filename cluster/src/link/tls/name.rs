//! The name in the certificates of links.

/// The DNS name that every replica's certificate has among its subject alternative names. Another
/// certificate of the same authority has another one, so it can't join.
pub const LINK_NAME: &str = "trackops-link";
