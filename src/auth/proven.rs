//! What a credential proves.

use trackops_domain::access::Caller;
use trackops_domain::time::Timestamp;

/// Who somebody is, and until when that is proven.
#[derive(Clone)]
pub struct Proven {
    /// Who.
    pub caller: Caller,
    /// The end of the proof, if it has one.
    pub until: Option<Timestamp>,
}
