//! What the handlers of each router work with. Built once by `app.rs`; shared behind an `Arc`.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use super::admin::SagaAdmin;
use super::admin::cluster_admin::ClusterAdmin;
use super::admin::dead_letter_admin::DeadLetterAdmin;
use super::probes::readiness::Readiness;
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::orders::Orders;
use crate::ports::outbox::Outbox;
use crate::ports::stock::StockStore;

/// For the public routes of the order role. The live routes bring a state of their own.
#[derive(Clone)]
pub struct ApiState {
    /// Commands and reads of single orders.
    pub orders: Arc<dyn Orders>,
    /// Lists of orders, which no actor answers.
    pub journal: Arc<dyn Journal>,
    /// Time and new ids.
    pub clock: Arc<dyn Clock>,
}

/// For the public routes of the inventory role.
#[derive(Clone)]
pub struct InventoryState {
    /// Levels and reservations.
    pub stock: Arc<dyn StockStore>,
}

/// For the management listener of any role; a role leaves out what it doesn't have.
#[derive(Clone)]
pub struct ManagementState {
    /// What `/readyz` and `/startupz` look at.
    pub readiness: Arc<Readiness>,
    /// What `/metrics` renders.
    pub metrics: PrometheusHandle,
    /// The order role's actors; without it `/admin/v1/actors` is not there.
    pub orders: Option<Arc<dyn Orders>>,
    /// The cluster that this replica is part of, be it alone in it; without it (another role)
    /// `/admin/v1/cluster` and `/admin/v1/shards` are not there.
    pub cluster: Option<Arc<dyn ClusterAdmin>>,
    /// The orders that wait for inventory; without it (another role) `/admin/v1/sagas` is not there.
    pub sagas: Option<SagaAdmin>,
    /// The outboxes that this role writes or relays; without any `/admin/v1/outbox` is not there.
    pub outboxes: Vec<Arc<dyn Outbox>>,
    /// The parked messages; without it `/admin/v1/dead-letters` is not there.
    pub dead_letters: Option<Arc<dyn DeadLetterAdmin>>,
}
