//! The tokens port on Redis: one script call a draw, on Redis' own clock. Buckets that are full expire by themselves.

use std::sync::Arc;

use async_trait::async_trait;
use redis::cmd;

use super::link::Link;
use super::settings::{RedisConfigError, RedisSettings};
use crate::ports::tokens::{Draw, Drawn, TokenStore, TokensError};

/// Redis as the store of tokens. Every call gives up after the response time-out, and at once while there is no
/// connection.
pub struct RedisTokens {
    link: Arc<Link>,
    prefix: String,
}

impl RedisTokens {
    /// Over a connection that others use too.
    pub(super) fn over(link: Arc<Link>, prefix: String) -> Self {
        Self { link, prefix }
    }

    /// Over a connection of its own; see [`RedisCache::connect`](super::RedisCache::connect).
    pub async fn connect(settings: RedisSettings) -> Result<Self, RedisConfigError> {
        let link = Link::open(&settings).await?;
        Ok(Self::over(Arc::new(link), settings.prefix))
    }
}

#[async_trait]
impl TokenStore for RedisTokens {
    async fn draw(&self, draw: &Draw) -> Result<Drawn, TokensError> {
        let scripts = self.link.scripts();
        let mut call = cmd("EVALSHA");
        call.arg(scripts.draw.get_hash())
            .arg(1)
            .arg(format!("{}{}", self.prefix, draw.bucket))
            .arg(draw.interval_us)
            .arg(draw.burst)
            .arg(draw.wanted);
        let drawn = self.link.run("draw tokens", async |connection| {
            scripts.query::<(u32, u64)>(connection, &call).await
        });
        let (granted, full_in_us) = drawn
            .await
            .map_err(|failure| TokensError(Box::new(failure)))?;
        Ok(Drawn {
            granted,
            full_in_us,
        })
    }
}
