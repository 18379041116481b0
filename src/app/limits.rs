//! The limits of a role's public listener: which are configured, and where replicas share them.

use std::sync::Arc;

use super::cluster_admin::LateBoundClusterAdmin;
use crate::api::counted::Limited;
use crate::auth::Auth;
use crate::config::Config;
use crate::limits::{RateLimiter, Settings};
use crate::ports::tokens::TokenStore;
use crate::redis::{RedisSettings, RedisTokens};

/// Of a process that is alone.
pub(super) fn of_one(config: &Config, auth: &Auth) -> Option<Limited> {
    limited(config, settings(config, auth))
}

/// Of one order replica among others.
pub(super) fn of_replica(
    config: &Config,
    auth: &Auth,
    tokens: Arc<dyn TokenStore>,
    cluster: Arc<LateBoundClusterAdmin>,
) -> Option<Limited> {
    let settings = Settings {
        store: Some(tokens),
        replicas: Box::new(move || cluster.alive()),
        ..settings(config, auth)
    };
    limited(config, settings)
}

/// Of an inventory process. It needs Redis for nothing else, so it counts for itself unless `redis_url` is set; how
/// many others there are it doesn't know.
pub(super) async fn of_inventory(config: &Config, auth: &Auth) -> anyhow::Result<Option<Limited>> {
    let mut settings = settings(config, auth);
    if let Ok(url) = config.redis() {
        let redis = RedisSettings::new(url.clone()).with_prefix(&config.stores.redis_prefix);
        settings.store = Some(Arc::new(RedisTokens::connect(redis).await?));
    }
    Ok(limited(config, settings))
}

fn settings(config: &Config, auth: &Auth) -> Settings {
    let limits = &config.limits;
    Settings::new(limits.people(auth.is_required()), limits.services())
}

fn limited(config: &Config, settings: Settings) -> Option<Limited> {
    Some(Limited {
        limiter: RateLimiter::new(settings)?,
        proxies: config.limits.trusted_proxies,
    })
}
