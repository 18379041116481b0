//! The state of the route that lists waiting sagas. Leaves storage and time to the ports, and the answer's
//! form to [`mod@super::list_sagas`].

use std::sync::Arc;
use std::time::Duration;

use crate::ports::clock::Clock;
use crate::ports::sagas::Sagas;

/// The state of the route that lists waiting sagas.
#[derive(Clone)]
pub struct SagaAdmin {
    /// The waiting orders.
    pub sagas: Arc<dyn Sagas>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// An order that waits for longer is stuck.
    pub stuck_after: Duration,
}
