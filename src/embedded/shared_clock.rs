//! A wrapper that lets structs with a clock derive `Debug`. Leaves the time to the port.

use std::sync::Arc;

use crate::ports::clock::Clock;

/// A clock in a struct that derives `Debug`.
#[derive(Clone)]
pub(super) struct SharedClock(Arc<dyn Clock>);

impl From<Arc<dyn Clock>> for SharedClock {
    fn from(clock: Arc<dyn Clock>) -> Self {
        Self(clock)
    }
}

impl std::ops::Deref for SharedClock {
    type Target = dyn Clock;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
