//! How a process finds out who somebody is: with which store, and until when.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::servers;
use crate::api::admin::AccessAdmin;
use crate::auth::Auth;
use crate::auth::audit::AuditLog;
use crate::auth::key_cache::KeyCache;
use crate::auth::tokens::AccessTokens;
use crate::auth::tokens::https::HttpsSource;
use crate::auth::tokens::source::DocumentSource;
use crate::config::{AccessConfig, Config, oidc};
use crate::ports::access::AccessStore;
use crate::ports::clock::Clock;
use crate::postgres::Kind;

/// Whether everybody needs a credential, if the configuration doesn't say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unless {
    /// As in `dev`.
    Open,
    /// As in every role.
    Required,
}

/// Checks credentials and keeps what was denied, until it is stopped.
pub(super) struct Access {
    /// For the listeners.
    pub auth: Auth,
    /// For the routes of operations.
    pub admin: Option<AccessAdmin>,
    stop: CancellationToken,
    keeping: Option<JoinHandle<()>>,
}

impl Access {
    /// Starts by `store`; without one nothing is kept, and nobody can be asked for a key.
    pub fn start(
        config: &AccessConfig,
        unless: Unless,
        store: Option<Arc<dyn AccessStore>>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let is_required = config.is_required(unless == Unless::Required);
        let admin = store.as_ref().map(|store| AccessAdmin {
            store: Arc::clone(store),
            clock: Arc::clone(&clock),
        });
        let (audit, keeping) = match &store {
            Some(store) => {
                let (store, clock) = (Arc::clone(store), Arc::clone(&clock));
                let (audit, keeping) = AuditLog::start(store, clock, stop.clone());
                (audit, Some(keeping))
            }
            None => (AuditLog::none(Arc::clone(&clock)), None),
        };
        let auth = match store.filter(|_| is_required) {
            Some(store) => {
                let keys = KeyCache::new(store, Arc::clone(&clock));
                tokio::spawn(Arc::clone(&keys).keep_fresh(stop.clone()));
                Auth::required(keys, tokens(config, clock, &stop)?, audit)
            }
            None => Auth::open(audit),
        };
        if !auth.is_required() && unless == Unless::Required {
            tracing::warn!("auth is open: whoever reaches the ports may do everything");
        }
        Ok(Self {
            auth,
            admin,
            stop,
            keeping,
        })
    }

    /// Starts a role that has no orders of its own: keys are in the orders' database.
    pub fn start_beside(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let is_required = config.access.is_required(true);
        let store = if is_required || config.orders_database().is_ok() {
            let url = config.orders_database()?;
            let database = servers::open_database(url, Kind::Orders, &config.stores)?;
            Some(Arc::new(database.access()) as Arc<dyn AccessStore>)
        } else {
            None
        };
        Self::start(&config.access, Unless::Required, store, clock)
    }

    /// Stores what is still to be stored, at most until `end`.
    pub async fn stop(self, end: Instant) {
        self.stop.cancel();
        if let Some(keeping) = self.keeping
            && timeout_at(end, keeping).await.is_err()
        {
            tracing::warn!("the last audit entries were not stored in time");
        }
    }
}

/// The checks of access tokens, if there is an issuer. Nobody waits for it here: keys are fetched in the background.
fn tokens(
    config: &AccessConfig,
    clock: Arc<dyn Clock>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<AccessTokens>>> {
    let issuers = oidc::parse(&config.oidc_issuers).map_err(anyhow::Error::msg)?;
    if issuers.is_empty() {
        return Ok(None);
    }
    let source = HttpsSource::new().map_err(anyhow::Error::from_boxed)?;
    let source: Arc<dyn DocumentSource> = Arc::new(source);
    let tokens = AccessTokens::new(issuers, &source, clock);
    tokens.keep_fresh(stop);
    Ok(Some(tokens))
}
