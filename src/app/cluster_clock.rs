//! The time of all replicas: the authority's. One replica writes a deadline and another acts upon it, and
//! their own clocks may differ by any amount.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use trackops_cluster::directory::Directory;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::ports::clock::{Clock, SystemClock, uuid_v7_at};

/// The machine's clock until a directory gives the authority's time.
#[derive(Default)]
pub(super) struct ClusterClock(ArcSwapOption<Directory>);

impl ClusterClock {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Uses the time of `directory` from now on.
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
