//! The public and the management listener of a role.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::server::{Limits, Server, Stopped};
use crate::api::service::ApiService;
use crate::config::HttpConfig;

/// A listener that serves.
pub(super) struct Listener {
    addr: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<Stopped>,
}

/// An open port that doesn't serve yet. Open until it and its clones have served to their end.
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
            ..Limits::default()
        };
        Ok(Self(Server::bind(addr, flag)?.limits(limits)))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Serves `router`; once stopped, what is left after `grace` is cut.
    pub fn serve(self, router: Router, grace: Duration) -> Listener {
        let (addr, stop) = (self.addr(), CancellationToken::new());
        let service = ApiService::new(router);
        let served = tokio::spawn(self.0.serve(service, stop.clone(), grace));
        Listener { addr, stop, served }
    }
}

impl Listener {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, ends what is open, returns when all is closed.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.served.await {
            tracing::error!(%error, "the listener failed");
        }
    }
}
