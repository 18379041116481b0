//! The cache port: one script call per batch of views, one `MGET` per read, positions in a GEO index.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use redis::{Cmd, cmd};
use trackops_domain::ids::OrderId;

use super::failure::RedisFailure;
use super::link::Link;
use super::settings::{RedisConfigError, RedisSettings};
use super::tokens::RedisTokens;
use super::{entry, position, scripts};
use crate::model::position::Position;
use crate::ports::cache::{Cache, CacheEntry, CacheError};

/// Seconds that a position is kept after the last ping of its courier.
const POSITION_TTL_S: u64 = 60 * 60;
/// Degrees of latitude that a GEO index holds (the Web Mercator square); a position beyond it is kept, but
/// not in the index.
const GEO_LAT_MAX: f64 = 85.051_128_78;

/// Redis as the cache. Every call gives up after the response time-out, and at once while there is
/// no connection. One instance, no cluster: a batch is one script call with many keys.
pub struct RedisCache {
    link: Arc<Link>,
    settings: RedisSettings,
}

impl RedisCache {
    /// Tries to connect once, for at most the connect time-out. An unreachable Redis is no error: connecting
    /// is retried in the background for as long as this value lives.
    pub async fn connect(settings: RedisSettings) -> Result<Self, RedisConfigError> {
        let link = Arc::new(Link::open(&settings).await?);
        Ok(Self { link, settings })
    }

    /// The tokens that replicas share, over the same connection.
    pub fn tokens(&self) -> RedisTokens {
        RedisTokens::over(Arc::clone(&self.link), self.settings.prefix.clone())
    }

    fn key(&self, kind: &str, order: OrderId) -> String {
        format!("{}{kind}:{{{order}}}", self.settings.prefix)
    }

    fn couriers(&self) -> [String; 2] {
        let prefix = &self.settings.prefix;
        [
            format!("{prefix}couriers"),
            format!("{prefix}couriers:seen"),
        ]
    }

    async fn call(&self, operation: &'static str, call: Cmd) -> Result<(), CacheError> {
        let scripts = self.link.scripts();
        self.link
            .run(operation, async |connection| {
                scripts.call(connection, &call).await
            })
            .await
            .map_err(failed)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn put(&self, entries: &[CacheEntry]) -> Result<(), CacheError> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: usize = entries.iter().map(|entry| entry.view.len() + 128).sum();
        let mut call = Cmd::with_capacity(3 + 3 * entries.len(), bytes);
        call.arg("EVALSHA")
            .arg(self.link.scripts().put.get_hash())
            .arg(entries.len());
        for entry in entries {
            call.arg(self.key("order", entry.order));
        }
        let mut stored = Vec::new();
        for entry in entries {
            entry::write(entry, &mut stored);
            call.arg(stored.as_slice());
        }
        for entry in entries {
            call.arg(entry.ttl().as_secs());
        }
        self.call("put", call).await
    }

    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = cmd("MGET");
        for order in orders {
            call.arg(self.key("order", *order));
        }
        let stored: Vec<Option<Vec<u8>>> = self
            .link
            .run("get", async |connection| call.query_async(connection).await)
            .await
            .map_err(failed)?;
        Ok(orders
            .iter()
            .zip(stored)
            .map(|(order, stored)| entry::read(*order, stored?))
            .collect())
    }

    async fn put_position(&self, order: OrderId, position: Position) -> Result<(), CacheError> {
        let indexed = position.lat.abs() <= GEO_LAT_MAX && position.lon.abs() <= 180.0;
        let [index, seen] = self.couriers();
        let mut call = cmd("EVALSHA");
        call.arg(self.link.scripts().put_position.get_hash())
            .arg(3)
            .arg(index)
            .arg(seen)
            .arg(self.key("courier", order))
            .arg(order.to_string())
            .arg(position.lon)
            .arg(position.lat)
            .arg(position::write(position))
            .arg(u8::from(indexed))
            .arg(POSITION_TTL_S)
            .arg(position.at.0);
        self.call("put position", call).await
    }

    async fn position(&self, order: OrderId) -> Result<Option<Position>, CacheError> {
        let mut call = cmd("GET");
        call.arg(self.key("courier", order));
        let stored: Option<String> = self
            .link
            .run("position", async |connection| {
                call.query_async(connection).await
            })
            .await
            .map_err(failed)?;
        Ok(stored.as_deref().and_then(position::read))
    }

    async fn drop_position(&self, order: OrderId) -> Result<(), CacheError> {
        let mut calls = redis::pipe();
        calls.del(self.key("courier", order)).ignore();
        for index in self.couriers() {
            calls.zrem(index, order.to_string()).ignore();
        }
        self.link
            .run("drop position", async |connection| {
                calls.exec_async(connection).await
            })
            .await
            .map_err(failed)
    }

    async fn ping(&self) -> Result<(), CacheError> {
        let trial = self.link.trial();
        self.link
            .run("ping", async |connection| {
                trial.exec_async(connection).await
            })
            .await
            .map_err(failed)
    }

    fn session(&self) -> u64 {
        self.link.session()
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("settings", &self.settings)
            .field("session", &self.link.session())
            .finish_non_exhaustive()
    }
}

fn failed(failure: RedisFailure) -> CacheError {
    CacheError(Box::new(failure))
}

// The script compares exactly the rank. Changing one length without the other would let old views win.
const _: () = assert!(scripts::RANK_BYTES == entry::RANK_BYTES);
