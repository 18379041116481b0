//! The state of each router's handlers. `app.rs` builds it once; it is shared behind an `Arc`.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use super::admin::cluster_admin::ClusterAdmin;
use super::admin::dead_letter_admin::DeadLetterAdmin;
use super::admin::{AccessAdmin, SagaAdmin};
use super::probes::readiness::Readiness;
use crate::auth::tracking_links::TrackingLinks;
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::orders::Orders;
use crate::ports::outbox::Outbox;
use crate::ports::stock::StockStore;

/// The state of the order role's public routes. The live routes have a state of their own.
#[derive(Clone)]
pub struct ApiState {
    /// Commands and reads of single orders.
    pub orders: Arc<dyn Orders>,
    /// Lists of orders come from the journal, not from actors.
    pub journal: Arc<dyn Journal>,
    /// Time and new ids.
    pub clock: Arc<dyn Clock>,
    /// Makes the tracking links of orders.
    pub links: TrackingLinks,
}

/// The state of the inventory role's public routes.
#[derive(Clone)]
pub struct InventoryState {
    /// Levels and reservations.
    pub stock: Arc<dyn StockStore>,
}

/// The state of any role's management listener; a role leaves out what it doesn't have.
#[derive(Clone)]
pub struct ManagementState {
    /// Answers `/readyz` and `/startupz`.
    pub readiness: Arc<Readiness>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// The order role's actors; without them `/admin/v1/actors` is missing.
    pub orders: Option<Arc<dyn Orders>>,
    /// The cluster of this replica, which may be its only member. Without it (in another role)
    /// `/admin/v1/cluster` and `/admin/v1/shards` are missing.
    pub cluster: Option<Arc<dyn ClusterAdmin>>,
    /// The orders that wait for inventory; without it (in another role) `/admin/v1/sagas` is missing.
    pub sagas: Option<SagaAdmin>,
    /// The outboxes that this role writes or relays; without any, `/admin/v1/outbox` is missing.
    pub outboxes: Vec<Arc<dyn Outbox>>,
    /// Keys and audit; without them `/admin/v1/keys` and `/admin/v1/audit` are missing.
    pub access: Option<AccessAdmin>,
    /// The dead letters; without them `/admin/v1/dead-letters` is missing.
    pub dead_letters: Option<Arc<dyn DeadLetterAdmin>>,
}
