//! What is measured: one `trackops` with databases of its own, whose roles come up and go down as the
//! others take turns.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::figures::Figures;
use super::rest::Rest;
use super::roles::Roles;
use crate::bench::checks::{Told, ensure_no_violation};
use crate::load::{Outcome, Pool};
use crate::system::{Databases, Deployment, Settings, scalar};

/// Requests under way at most.
pub const CONNECTIONS: usize = 256;
/// One `trackops` under test.
pub struct Subject<'a> {
    /// `this` or `before`.
    pub label: &'static str,
    pub deployment: Deployment<'a>,
    /// Its running roles, if they run.
    pub up: Option<Up>,
    pub rest: Option<Rest>,
    pub figures: Vec<Figures>,
    /// Why it is asked nothing further.
    pub failure: Option<String>,
    order_settings: &'static [(&'static str, &'static str)],
    told: Told,
    is_stocked: bool,
}

/// The running roles, and connections to the order role.
pub struct Up {
    pub roles: Roles,
    pub pool: Pool,
}

/// What the databases hold at the end.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    pub orders: u64,
    /// Neither CONFIRMED nor lost: cancelled, rejected or still pending.
    pub otherwise: u64,
}

/// Fresh databases for the `trackops` of `--before`, if there is one, and for this one.
pub async fn deployments<'a>(
    settings: &'a Settings,
    databases: &Databases,
    name: &str,
) -> Result<Vec<(&'static str, Deployment<'a>)>> {
    let mut deployments = Vec::new();
    if let Some(binary) = &settings.before {
        let name = format!("{name}_before");
        let before = Deployment::create_for(settings, databases, &name, binary.clone());
        deployments.push(("before", before.await?));
    }
    let this = Deployment::create(settings, databases, name).await?;
    deployments.push(("this", this));
    Ok(deployments)
}

impl<'a> Subject<'a> {
    /// This `trackops`, and before it the one of `--before`; their order roles get `order_settings`.
    pub async fn all(
        settings: &'a Settings,
        databases: &Databases,
        name: &str,
        order_settings: &'static [(&'static str, &'static str)],
    ) -> Result<Vec<Self>> {
        let deployments = deployments(settings, databases, name).await?;
        let subjects = deployments
            .into_iter()
            .map(|(label, deployment)| Self::new(label, deployment, order_settings));
        Ok(subjects.collect())
    }

    fn new(
        label: &'static str,
        deployment: Deployment<'a>,
        order_settings: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            label,
            deployment,
            up: None,
            rest: None,
            figures: Vec::new(),
            failure: None,
            order_settings,
            told: Told::default(),
            is_stocked: false,
        }
    }

    /// Starts its roles, if they don't run.
    pub async fn bring_up(&mut self) -> Result<()> {
        if self.up.is_some() {
            return Ok(());
        }
        let inventory = self.deployment.start("inventory", &[]).await?;
        if !self.is_stocked {
            inventory.stock_catalogue().await?;
            self.is_stocked = true;
        }
        let relay = self.deployment.start("relay", &[]).await?;
        let order = self.deployment.start("order", self.order_settings).await?;
        let pool = Pool::open(order.public, CONNECTIONS).await?;
        let roles = Roles {
            order,
            relay,
            inventory,
        };
        self.up = Some(Up { roles, pool });
        Ok(())
    }

    /// Stops its roles, if they run, and asks them before whether they saw an invariant broken.
    pub async fn take_down(&mut self) -> Result<()> {
        let Some(up) = self.up.take() else {
            return Ok(());
        };
        let Up { roles, pool } = up;
        ensure_no_violation(&roles.all()).await?;
        drop(pool);
        for role in [roles.order, roles.relay, roles.inventory] {
            role.stop().await?;
        }
        Ok(())
    }

    /// Adds what clients were told by a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.told.add(outcome);
    }

    /// Compares what clients were told with what is there, and forgets the cache's keys.
    pub async fn check(&self) -> Result<Counted> {
        let rows = self.deployment.rows().await?;
        // A run that failed has been told something that nobody counted.
        if self.failure.is_none() {
            self.told.compare(&rows).context(self.label)?;
        }
        let sql = "SELECT count(*) FROM orders WHERE status <> 'CONFIRMED'";
        let counted = Counted {
            orders: rows.orders,
            otherwise: scalar(&self.deployment.orders_url, sql).await?,
        };
        self.deployment.forget_keys().await?;
        Ok(counted)
    }
}
