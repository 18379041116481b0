//! The public and the management listener of a role.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::task::JoinHandle;

use crate::api::server::{Limits, Server, Stopped, Until};
use crate::api::service::ApiService;
use crate::config::HttpConfig;

/// A listener that serves.
pub(super) struct HttpListener {
    addr: SocketAddr,
    until: Until,
    served: JoinHandle<Stopped>,
}

/// An open port that doesn't serve yet. It stays open until it and its clones have finished serving.
#[derive(Clone)]
pub(super) struct Port(Server);

impl Port {
    /// Opens `configured`, or the role's `port` on loopback if that is empty.
    pub fn open(
        configured: &str,
        port: u16,
        flag: &'static str,
        http: &HttpConfig,
    ) -> anyhow::Result<Self> {
        let addr = if configured.is_empty() {
            SocketAddr::from(([127, 0, 0, 1], port))
        } else {
            configured
                .parse()
                .with_context(|| format!("{configured} is not an address (set by {flag})"))?
        };
        let limits = Limits {
            connections_max: http.http_connections_max,
            idle_timeout: Duration::from_millis(http.http_idle_ms),
            ..Limits::default()
        };
        Ok(Self(Server::bind(addr, flag)?.limits(limits)))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Serves `router`. Once stopped, connections that are open after `grace` are cut.
    pub fn serve(self, router: Router, grace: Duration) -> HttpListener {
        let (addr, until) = (self.addr(), Until::default());
        let service = ApiService::new(router);
        let served = tokio::spawn(self.0.serve(service, until.clone(), grace));
        HttpListener {
            addr,
            until,
            served,
        }
    }
}

impl HttpListener {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers say `Connection: close` from now on, because the listener will close soon.
    pub fn set_closing(&self) {
        self.until.closing.cancel();
    }

    /// Stops accepting, ends the open connections, and returns when all are closed.
    pub async fn stop(self) {
        self.until.stop.cancel();
        if let Err(error) = self.served.await {
            tracing::error!(%error, "the listener failed");
        }
    }
}
