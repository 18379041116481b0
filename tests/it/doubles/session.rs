//! A listener that keeps what it is told.

use parking_lot::Mutex;
use trackops::ports::live::{LiveItem, LiveListener};

/// The listener.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<(bool, u32)>>);

impl LiveListener for Recorder {
    fn id(&self) -> u64 {
        std::ptr::from_ref(self).addr() as u64
    }

    fn deliver(&self, item: LiveItem) {
        match item {
            LiveItem::Update { version, .. } => self.0.lock().push((false, version.0)),
            LiveItem::Snapshot { order, .. } => self.0.lock().push((true, order.version().0)),
            LiveItem::Location { .. } => {}
        }
    }
}
