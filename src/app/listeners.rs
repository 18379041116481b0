//! The public and the management listener of a role.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::task::JoinHandle;

use crate::api::counted::Limited;
use crate::api::server::{Limits, Server, Stopped, Until};
use crate::api::service::ApiService;
use crate::api::site_policy::SitePolicy;
use crate::auth::Auth;
use crate::config::Config;

/// What configures the address of operations.
pub(super) const MANAGEMENT_LISTEN: &str = "TRACKOPS_MANAGEMENT_LISTEN";

/// A listener that serves.
pub(super) struct HttpListener {
    addr: SocketAddr,
    until: Until,
    served: JoinHandle<Stopped>,
}

/// An open port that doesn't serve yet. It stays open until it and its clones have finished serving.
#[derive(Clone)]
pub(super) struct Port {
    server: Server,
    policy: SitePolicy,
    problem_base_url: String,
}

impl Port {
    /// Opens `configured`, or the role's `port` on loopback if that is empty.
    pub fn open(
        configured: &str,
        port: u16,
        flag: &'static str,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let http = &config.http;
        let addr = if configured.is_empty() {
            SocketAddr::from(([127, 0, 0, 1], port))
        } else {
            configured
                .parse()
                .with_context(|| format!("{configured} is not an address (set by {flag})"))?
        };
        let policy = SitePolicy::new(
            &list(&http.allowed_hosts),
            &list(&http.cors_allowed_origins),
        );
        Ok(Self {
            problem_base_url: http.problem_base_url.clone(),
            policy: policy.context("allowed_hosts and cors_allowed_origins")?,
            server: Server::bind(addr, flag)?.limits(limits(config)),
        })
    }

    /// Opens the port of a role's operations, `port` on loopback unless one is configured.
    pub fn open_management(port: u16, config: &Config) -> anyhow::Result<Self> {
        let configured = &config.http.management_listen;
        Self::open(configured, port, MANAGEMENT_LISTEN, config)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves `router`, with limits for its callers if there are any. Once stopped, connections that are open after
    /// `grace` are cut.
    pub fn serve(
        self,
        router: Router,
        auth: Auth,
        limited: Option<Limited>,
        grace: Duration,
    ) -> HttpListener {
        let (addr, until) = (self.addr(), Until::default());
        let service = ApiService::new(router, self.policy, auth)
            .with_problem_pages_at(&self.problem_base_url)
            .limited(limited);
        let served = tokio::spawn(self.server.serve(service, until.clone(), grace));
        HttpListener {
            addr,
            until,
            served,
        }
    }
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        connections_max: config.http.http_connections_max,
        connections_per_address_max: match limits.trusted_proxies {
            0 => limits.connections_per_address_max,
            // Every connection is a proxy's.
            _ => 0,
        },
        idle_timeout: Duration::from_millis(config.http.http_idle_ms),
        ..Limits::default()
    }
}

/// The parts of a list that is separated by commas.
fn list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn the_default_keys_are_the_default_limits() {
        let config = Config::load(None, &Flags::default()).expect("defaults are valid");
        assert_eq!(limits(&config), Limits::default());
    }

    #[test]
    fn the_connections_of_a_proxy_have_no_bound() {
        let mut config = Config::load(None, &Flags::default()).expect("defaults are valid");
        config.limits.trusted_proxies = 1;
        assert_eq!(limits(&config).connections_per_address_max, 0);
    }
}
