//! What is stored of who may do what: API keys, and what was done or denied.

use trackops_domain::access::Role;
use trackops_domain::time::Timestamp;

/// An API key as stored. The key itself is known to its holder alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part, by which it is found; 16 hexadecimal digits.
    pub id: String,
    /// Whose it is: the subject of what is done with it. Several keys may have one name, so that a key can be
    /// replaced by another.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The key of the MAC.
    pub salt: [u8; 16],
    /// HMAC-SHA256 of the secret part.
    pub mac: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// From when on it isn't valid any more.
    pub expires_at: Option<Timestamp>,
    /// Since when it isn't valid any more, because somebody said so.
    pub revoked_at: Option<Timestamp>,
}

/// Something that was done or denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `role:subject`, or what is known of somebody without a valid credential.
    pub who: String,
    /// What: a method and a path's template, or the name of a command.
    pub action: String,
    /// To what: a path, or an id.
    pub target: String,
    /// `done`, `failed`, or why it was denied.
    pub outcome: String,
    /// How often within the second. Denials are counted, so that nobody can fill the disk with them.
    pub count: u32,
}
