//! Starts the router and the task that keeps subscriptions with the owners.

use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::vital::Vital;

use super::core::{Router, RouterParts, RouterSettings};
use super::subscriptions;
use crate::live::feed::Feeds;
use crate::live::mirror::Mirror;

impl Router {
    /// Starts the task that keeps subscriptions with their owners.
    pub fn start(parts: RouterParts, settings: RouterSettings) -> Arc<Self> {
        let stop = CancellationToken::new();
        let router = Arc::new_cyclic(|itself: &Weak<Self>| Self {
            mirror: Mirror::new(
                Arc::clone(&parts.hub),
                Weak::clone(itself) as _,
                settings.mirror,
                stop.clone(),
            ),
            feeds: Feeds::new(
                Arc::clone(&parts.hub),
                Arc::clone(&parts.links),
                Arc::clone(&parts.directory),
                stop.clone(),
            ),
            me: parts.me,
            node: parts.node,
            directory: parts.directory,
            links: parts.links,
            is_linked: parts.is_linked,
            hub: parts.hub,
            settings,
            tasks: TaskTracker::new(),
            stop,
            abandoned: CancellationToken::new(),
            vital: Vital::default(),
        });
        let weak: Weak<Self> = Arc::downgrade(&router);
        router.node.follow(weak);
        let keeping_up = subscriptions::keep_up(
            Arc::downgrade(&router),
            router.directory.changes(),
            router.node.ownership().changes(),
            router.stop.clone(),
        );
        let guard = router.vital.guard("subscriptions", &router.stop);
        router.tasks.spawn(guard.over(keeping_up));
        router
    }
}
