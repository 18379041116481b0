//! One replica of several: links, router and coordinator over its node. A replica that is alone needs none of
//! this.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use trackops_cluster::ShardCount;
use trackops_cluster::coordinator::{Coordinator, CoordinatorParts, CoordinatorSettings};
use trackops_cluster::directory::Directory;
use trackops_cluster::link::channel::{self, Switch};
use trackops_cluster::link::{LinkSecret, LinkSettings, Links, Peer, TonicLinks};
use trackops_cluster::membership::Membership;

use super::cluster_admin::{self, LateBoundClusterAdmin};
use super::lifecycle::Lifecycle;
use crate::actors::Node;
use crate::config::ReplicaConfig;
use crate::faults::{self, points};
use crate::ports::clock::Clock;
use crate::ports::live::LiveHub;
use crate::router::{Router, RouterParts, RouterSettings};

/// The listener for links, and the address where others reach it. It stays open as long as the process lives:
/// between two incarnations callers wait instead of being refused.
pub(super) struct LinkListener {
    listener: std::net::TcpListener,
    address: String,
    secret: String,
}

/// The listener as one incarnation uses it.
pub(super) struct LinkPort {
    listener: TcpListener,
    /// `host:port`.
    pub address: String,
    secret: LinkSecret,
}

impl LinkListener {
    /// Opens the listener that the configuration names; `None` for a replica that is alone.
    pub async fn open(config: &ReplicaConfig) -> anyhow::Result<Option<Self>> {
        if config.link_secret.is_empty() {
            return Ok(None);
        }
        let addr: SocketAddr = config.link_listen.parse().context("link_listen")?;
        let listener = TcpListener::bind(addr)
            .await
            .with_context(|| format!("can't listen on {addr} (set by TRACKOPS_LINK_LISTEN)"))?;
        let addr = listener.local_addr().context("the link listener")?;
        let address = if !config.advertised_addr.is_empty() {
            config.advertised_addr.clone()
        } else if addr.ip().is_unspecified() {
            format!("{}:{}", config.name(), addr.port())
        } else {
            addr.to_string()
        };
        Ok(Some(Self {
            listener: listener.into_std().context("the link listener")?,
            address,
            secret: config.link_secret.clone(),
        }))
    }

    /// The listener for another incarnation.
    pub fn port(&self) -> anyhow::Result<LinkPort> {
        let listener = self.listener.try_clone();
        Ok(LinkPort {
            listener: listener
                .and_then(TcpListener::from_std)
                .context("the link listener")?,
            address: self.address.clone(),
            secret: LinkSecret::new(self.secret.as_bytes()).context("link_secret")?,
        })
    }
}

/// What the replica's part in the cluster is built from.
pub(super) struct ClusterParts {
    pub me: Peer,
    pub node: Arc<Node>,
    pub directory: Arc<Directory>,
    pub membership: Arc<dyn Membership>,
    pub hub: Arc<dyn LiveHub>,
    pub port: LinkPort,
    /// Where operators see the cluster.
    pub cluster_view: Arc<LateBoundClusterAdmin>,
    pub clock: Arc<dyn Clock>,
    pub shards: ShardCount,
}

/// A replica's running part in the cluster.
pub(super) struct Cluster {
    links: Arc<TonicLinks>,
    router: Arc<Router>,
    coordinator: Arc<Coordinator>,
}

impl Cluster {
    /// Starts links, router and coordinator; from then on other replicas get answers.
    pub fn start(parts: ClusterParts) -> Self {
        let mut settings = LinkSettings::new(parts.shards);
        if faults::hit(points::SPEAK_NEWER, "") {
            tracing::warn!("fault point: speaking as a newer version");
            settings.versions.newest += 1;
        }
        let me = parts.me.clone();
        let links = TonicLinks::start(me, parts.port.listener, parts.port.secret, settings);
        let between: Arc<dyn Links> = Arc::clone(&links) as _;
        let router = Router::start(
            RouterParts {
                me: parts.me.clone(),
                node: Arc::clone(&parts.node),
                directory: Arc::clone(&parts.directory),
                links: channel::for_entities(Arc::clone(&between)),
                hub: parts.hub,
            },
            RouterSettings::default(),
        );
        parts.cluster_view.set(cluster_admin::ClusterParts {
            me: parts.me.identity(),
            directory: Arc::clone(&parts.directory),
            links: Some(Arc::clone(&between)),
            membership: Arc::clone(&parts.membership),
            local: cluster_admin::local_shards(Arc::clone(&parts.node)),
            clock: parts.clock,
        });
        let coordinator = Coordinator::start(
            CoordinatorParts {
                node: parts.me.node,
                incarnation: parts.me.incarnation,
                membership: parts.membership,
                directory: parts.directory,
                shards: parts.node,
                links: channel::for_coordinator(between),
            },
            CoordinatorSettings::default(),
        );
        links.serve(Arc::new(Switch {
            coordinator: Arc::clone(&coordinator),
            entities: Arc::clone(&router) as _,
        }));
        Self {
            links,
            router,
            coordinator,
        }
    }

    /// Ends `life` once one of the cluster's tasks is lost.
    pub fn depend(&self, life: &Lifecycle) {
        life.depend_on(self.router.vital());
        life.depend_on(self.coordinator.vital());
    }

    /// Serves every order of the cluster.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Waits until the free shards are claimed; `false` if it is time to stop.
    pub async fn first_claims_done(&self, life: &Lifecycle) -> bool {
        tokio::select! {
            () = self.coordinator.first_claims_done() => true,
            () = life.stopped() => false,
        }
    }

    /// Gives the shards to the other replicas while this one still answers.
    pub async fn drain(&self, limit: Duration) {
        if self.coordinator.drain(limit).await {
            tracing::info!("every shard is another replica's");
        } else {
            tracing::info!("shards are left: nobody was there to take them, or not in time");
        }
    }

    /// Stops moves and answers at once, because the shards may be another replica's. Callers that wait for an
    /// answer ask the current owner.
    pub async fn abandon(self) {
        self.router.abandon();
        tokio::join!(self.coordinator.stop(), self.links.stop(Duration::ZERO));
    }

    /// Stops moves, and finishes the requests of other replicas within `limit`.
    pub async fn stop(self, limit: Duration) {
        self.coordinator.stop().await;
        self.router.stop();
        self.links.stop(limit).await;
    }
}
