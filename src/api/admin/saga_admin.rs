//! What the route of waiting sagas works with. Leaves their store and the time to the ports, and what is
//! shown of them to [`super::list_sagas`].

use std::sync::Arc;
use std::time::Duration;

use crate::ports::clock::Clock;
use crate::ports::sagas::Sagas;

/// What the route works with.
#[derive(Clone)]
pub struct SagaAdmin {
    /// The waiting orders.
    pub sagas: Arc<dyn Sagas>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// An order that waits for longer is stuck.
    pub stuck_after: Duration,
}
