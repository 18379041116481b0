//! A replica's part in the cluster: links, router and coordinator over its node. A replica without links is a
//! cluster of one: it owns every shard, or stands by while another replica owns some.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use trackops_cluster::ShardCount;
use trackops_cluster::assignment::Sharing;
use trackops_cluster::coordinator::{Coordinator, CoordinatorParts, CoordinatorSettings};
use trackops_cluster::directory::Directory;
use trackops_cluster::link::channel::{self, Switch};
use trackops_cluster::link::{
    LinkSecret, LinkSettings, LinkTls, LinkTrust, Links, NoLinks, Peer, TlsFiles, TonicLinks,
};
use trackops_cluster::membership::Membership;

use super::cluster_admin::{self, LateBoundClusterAdmin};
use super::lifecycle::Lifecycle;
use crate::actors::Node;
use crate::actors::ownership::Ownership;
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
    trust: LinkTrust,
}

/// The listener as one incarnation uses it.
pub(super) struct LinkPort {
    listener: TcpListener,
    /// `host:port`.
    pub address: String,
    trust: LinkTrust,
}

impl LinkListener {
    /// Opens the listener that the configuration names; `None` for a replica without links.
    pub async fn open(config: &ReplicaConfig) -> anyhow::Result<Option<Self>> {
        if !config.has_links() {
            return Ok(None);
        }
        let trust = trust(config)?;
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
            trust,
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
            trust: self.trust.clone(),
        })
    }
}

/// By what replicas know each other, from the files and the secret of the configuration.
fn trust(config: &ReplicaConfig) -> anyhow::Result<LinkTrust> {
    let secret = config.link_secret.expose_secret();
    if !config.has_link_tls() {
        return Ok(LinkTrust::Secret(
            LinkSecret::new(secret).context("link_secret")?,
        ));
    }
    let tls = LinkTls::load(TlsFiles {
        cert: config.link_tls_cert.clone().into(),
        key: config.link_tls_key.clone().into(),
        ca: config.link_tls_ca.clone().into(),
    })
    .context("link_tls_cert, link_tls_key, link_tls_ca")?;
    if secret.is_empty() {
        return Ok(LinkTrust::Tls(tls));
    }
    tracing::warn!(
        "links without TLS are still taken: remove link_secret once every replica has link_tls_cert"
    );
    let secret = LinkSecret::new(secret).context("link_secret")?;
    Ok(LinkTrust::TlsOrSecret(tls, secret))
}

/// What the replica's part in the cluster is built from.
pub(super) struct ClusterParts {
    pub me: Peer,
    pub node: Arc<Node>,
    pub directory: Arc<Directory>,
    pub membership: Arc<dyn Membership>,
    pub hub: Arc<dyn LiveHub>,
    /// `None` for a replica without links.
    pub port: Option<LinkPort>,
    /// Where operators see the cluster.
    pub cluster_view: Arc<LateBoundClusterAdmin>,
    pub clock: Arc<dyn Clock>,
    pub shards: ShardCount,
}

/// A replica's running part in the cluster.
pub(super) struct Cluster {
    me: Peer,
    /// `None` for a replica without links.
    links: Option<Arc<TonicLinks>>,
    directory: Arc<Directory>,
    ownership: Arc<Ownership>,
    router: Arc<Router>,
    coordinator: Arc<Coordinator>,
}

impl Cluster {
    /// Starts links, router and coordinator; from then on other replicas get answers.
    pub fn start(parts: ClusterParts) -> Self {
        let links = parts.port.map(|port| {
            let mut settings = LinkSettings::new(parts.shards);
            if faults::hit(points::SPEAK_NEWER, "") {
                tracing::warn!("fault point: speaking as a newer version");
                settings.versions.newest += 1;
            }
            TonicLinks::start(parts.me.clone(), port.listener, port.trust, settings)
        });
        let (between, sharing): (Arc<dyn Links>, _) = match &links {
            Some(links) => (Arc::clone(links) as _, Sharing::Even),
            None => (Arc::new(NoLinks), Sharing::OneOwner),
        };
        let ownership = Arc::clone(parts.node.ownership());
        let router = Router::start(
            RouterParts {
                me: parts.me.clone(),
                node: Arc::clone(&parts.node),
                directory: Arc::clone(&parts.directory),
                links: channel::for_entities(Arc::clone(&between)),
                is_linked: links.is_some(),
                hub: parts.hub,
            },
            RouterSettings::default(),
        );
        parts.cluster_view.set(cluster_admin::ClusterParts {
            me: parts.me.identity(),
            directory: Arc::clone(&parts.directory),
            links: Arc::clone(&between),
            membership: Arc::clone(&parts.membership),
            local: cluster_admin::local_shards(Arc::clone(&parts.node)),
            clock: parts.clock,
        });
        let coordinator = Coordinator::start(
            CoordinatorParts {
                node: parts.me.node.clone(),
                incarnation: parts.me.incarnation,
                membership: parts.membership,
                directory: Arc::clone(&parts.directory),
                shards: parts.node,
                links: channel::for_coordinator(between),
            },
            CoordinatorSettings {
                sharing,
                ..CoordinatorSettings::default()
            },
        );
        if let Some(links) = &links {
            links.serve(Arc::new(Switch {
                coordinator: Arc::clone(&coordinator),
                entities: Arc::clone(&router) as _,
            }));
        }
        Self {
            me: parts.me,
            links,
            directory: parts.directory,
            ownership,
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

    /// Whether this replica has links, by which other replicas may answer in its place.
    pub fn is_linked(&self) -> bool {
        self.links.is_some()
    }

    /// Waits until the free shards are claimed, and without links until all of them are; `false` if it is
    /// time to stop. While another replica owns some of them a replica without links waits; if it is
    /// `returning`, it gives up, because it has been replaced.
    pub async fn claims_done(&self, returning: bool, life: &Lifecycle) -> anyhow::Result<bool> {
        let claims = async {
            self.coordinator.first_claims_done().await;
            match self.links {
                Some(_) => Ok(()),
                None => self.owns_all(returning).await,
            }
        };
        tokio::select! {
            claimed = claims => claimed.map(|()| true),
            () = life.stopped() => Ok(false),
        }
    }

    async fn owns_all(&self, returning: bool) -> anyhow::Result<()> {
        let (mut own, mut seen) = (self.ownership.changes(), self.directory.changes());
        let mut has_said = false;
        loop {
            own.borrow_and_update();
            seen.borrow_and_update();
            if self.ownership.owned().len() == usize::from(self.ownership.count().get()) {
                return Ok(());
            }
            let shards = self.owned_by_others();
            if shards > 0 && returning {
                bail!("this replica's lease has ended and another replica owns its shards now");
            }
            if shards > 0 && !std::mem::replace(&mut has_said, true) {
                tracing::warn!(shards, "waiting: another replica owns shards");
            }
            tokio::select! {
                changed = own.changed() => changed?,
                changed = seen.changed() => changed?,
            }
        }
    }

    fn owned_by_others(&self) -> usize {
        let owners = self.ownership.count().iter();
        let owners = owners.filter_map(|shard| self.directory.owner(shard));
        owners.filter(|owner| owner.node != self.me.node).count()
    }

    /// Gives the shards to the other replicas while this one still answers.
    pub async fn drain(&self, limit: Duration) {
        if !self.is_linked() {
            return;
        }
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
        tokio::join!(self.coordinator.stop(), self.stop_links(Duration::ZERO));
    }

    /// Stops moves, and finishes the requests of other replicas within `limit`.
    pub async fn stop(self, limit: Duration) {
        self.coordinator.stop().await;
        self.router.stop();
        self.stop_links(limit).await;
    }

    async fn stop_links(&self, limit: Duration) {
        if let Some(links) = &self.links {
            links.stop(limit).await;
        }
    }
}
