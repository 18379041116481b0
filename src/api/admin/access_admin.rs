//! The state of the routes for keys and audit.

use std::sync::Arc;

use crate::ports::access::AccessStore;
use crate::ports::clock::Clock;

/// Keys and audit.
#[derive(Clone)]
pub struct AccessAdmin {
    /// Where they are stored.
    pub store: Arc<dyn AccessStore>,
    /// The time of what is made and revoked.
    pub clock: Arc<dyn Clock>,
}
