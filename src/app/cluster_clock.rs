//! The time that replicas go by: the authority's. A deadline that one of them writes, another acts upon,
//! and their own clocks may disagree by any amount.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use trackops_cluster::directory::Directory;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::ports::clock::{Clock, SystemClock, uuid_v7_at};

/// The machine's clock until there is a directory that hears of the authority's.
#[derive(Default)]
pub(super) struct ClusterClock(ArcSwapOption<Directory>);

impl ClusterClock {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Goes by what `directory` hears from now on.
    pub fn follow(&self, directory: Arc<Directory>) {
        self.0.store(Some(directory));
    }
}

impl Clock for ClusterClock {
    fn now(&self) -> Timestamp {
        let heard = self.0.load();
        let heard = heard.as_ref().and_then(|directory| directory.now_ms());
        heard.map_or_else(|| SystemClock.now(), Timestamp)
    }

    fn uuid_v7(&self) -> Uuid {
        uuid_v7_at(self.now())
    }
}
