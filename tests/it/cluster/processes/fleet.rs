//! A deployment with several order replicas that share the shards.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use serde_json::Value;
use trackops_domain::invariants::Invariant;

use super::balancer::Balancer;
use super::history::{self, History};
use super::search;
use super::wire::Wire;
use crate::support::acknowledged::Acknowledged;
use crate::support::check::{Scope, Violation, check_invariants, shown};
use crate::support::deployment::{Deployment, Options, public};
use crate::support::environment::free_port;
use crate::support::recorder::Recorder;
use crate::support::role::{Launch, Role};
use crate::support::wait::until;

/// Short enough to be waited for. A machine that does much else beside may miss it now and then, so it is
/// for tests in which a replica may lose its lease without being to blame.
pub const LEASE_MS: u64 = 900;
/// What a deployment has unless it is told otherwise, for tests in which a lost lease is a failure.
pub const USUAL_LEASE_MS: u64 = 1500;
/// As [`Deployment`] migrates it.
const SHARDS: usize = 16;
/// Orders whose whole history is searched for an explanation.
const SEARCHED_MAX: usize = 40;

/// How a fleet is set up.
#[derive(Default)]
pub struct Plan {
    /// Servers and settings for all.
    pub options: Options,
    /// More settings for one replica, by its number.
    pub only: Vec<(usize, &'static str, String)>,
    /// Links go by wires that can be cut.
    pub wired: bool,
    /// This replica, not the first, goes to PostgreSQL by a wire that can be cut.
    pub postgres_wired: Option<usize>,
}

impl Plan {
    /// With the lease that deployments have.
    pub fn usual_lease() -> Self {
        let lease = ("TRACKOPS_LEASE_MS", USUAL_LEASE_MS.to_string());
        let options = Options {
            environment: vec![lease],
            ..Options::default()
        };
        Self {
            options,
            ..Self::default()
        }
    }
}

/// A running fleet. The first replica is the deployment's `order`.
pub struct Fleet {
    pub deployment: Deployment,
    /// In front of each replica's link listener, if the plan says so.
    pub wires: Vec<Wire>,
    /// Before the PostgreSQL of one replica, if the plan says so.
    pub postgres_wire: Option<Wire>,
    others: Vec<Role>,
}

impl Fleet {
    /// Starts so many replicas and waits until each owns its share.
    pub async fn start(replicas: usize, plan: Plan) -> Self {
        let mut options = plan.options;
        let environment = [
            (
                "TRACKOPS_LINK_SECRET",
                "0123456789abcdef0123456789abcdef".into(),
            ),
            ("TRACKOPS_LEASE_MS", LEASE_MS.to_string()),
        ];
        options.environment.splice(0..0, environment);
        let mut links = Vec::new();
        let mut wires = Vec::new();
        for number in 0..replicas {
            let own = [("TRACKOPS_LINK_LISTEN", format!("127.0.0.1:{}", free_port()))];
            let mut own: Vec<(&'static str, String)> = own.into();
            if plan.wired {
                let listen: SocketAddr = own[0].1.parse().expect("an address");
                let wire = Wire::before(listen).await;
                own.push(("TRACKOPS_ADVERTISED_ADDR", wire.address.to_string()));
                wires.push(wire);
            }
            let only = plan.only.iter().filter(|(which, ..)| *which == number);
            own.extend(only.map(|(_, name, value)| (*name, value.clone())));
            links.push(own);
        }
        options.order_environment = links.remove(0);
        let deployment = Deployment::start(options).await;
        let mut fleet = Self {
            deployment,
            wires,
            postgres_wire: None,
            others: Vec::new(),
        };
        for (number, (letter, mut own)) in (1..).zip(('b'..='z').zip(links)) {
            if plan.postgres_wired == Some(number) {
                let (wire, url) = by_wire(&fleet.deployment.orders_url).await;
                own.push(("TRACKOPS_ORDERS_DATABASE_URL", url));
                fleet.postgres_wire = Some(wire);
            }
            let launch = fleet.launch(&format!("order-{letter}"), own);
            fleet.others.push(Role::spawn(launch));
        }
        for other in &mut fleet.others {
            other.ready().await;
        }
        fleet.balanced(replicas).await;
        fleet
    }

    /// One more replica with settings of its own.
    pub fn launch(&self, name: &str, own: Vec<(&'static str, String)>) -> Launch {
        let mut launch = self.deployment.launch_another("order", name);
        let own = own.into_iter();
        launch
            .environment
            .extend(own.map(|(name, value)| (name.into(), value)));
        launch
    }

    /// How many replicas there are, running or not.
    pub fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// A replica by its number.
    pub fn replica(&mut self, number: usize) -> &mut Role {
        match number.checked_sub(1) {
            None => &mut self.deployment.order,
            Some(other) => &mut self.others[other],
        }
    }

    fn launch_of(&self, number: usize) -> &Launch {
        match number.checked_sub(1) {
            None => &self.deployment.order.launch,
            Some(other) => &self.others[other].launch,
        }
    }

    /// Its public base URL.
    pub fn url(&self, number: usize) -> String {
        public(self.launch_of(number))
    }

    /// `host:port` of its public listener.
    pub fn address(&self, number: usize) -> String {
        bare(&self.url(number))
    }

    /// The public addresses of all.
    pub fn addresses(&self) -> Vec<String> {
        (0..self.len()).map(|number| self.address(number)).collect()
    }

    /// The base URL of its management listener.
    pub fn management(&self, number: usize) -> String {
        self.launch_of(number).management.clone()
    }

    /// Its node id.
    pub fn node(&self, number: usize) -> String {
        self.launch_of(number).name.clone()
    }

    /// A proxy before all of `launches` and the replicas that are there.
    pub async fn balancer(&self, more: &[Launch]) -> Balancer {
        let own = (0..self.len()).map(|number| self.launch_of(number));
        let addresses = own.chain(more).map(|launch| {
            let management = bare(&launch.management);
            (bare(&public(launch)), management)
        });
        Balancer::before(addresses.collect()).await
    }

    /// Adds a replica that was launched by its launch, and waits until it is ready.
    pub async fn start_launch(&mut self, launch: Launch) {
        self.others.push(Role::start(launch).await);
    }

    /// A page of `/admin/v1` of a replica.
    pub async fn admin(&self, number: usize, page: &str) -> Value {
        let management = &self.launch_of(number).management;
        let client = &self.deployment.client;
        client
            .fetch(&format!("{management}/admin/v1/{page}"))
            .await
            .body
    }

    /// Who owns how many shards as replica `number` knows it; `None` if it doesn't answer.
    pub async fn owners(&self, number: usize) -> Option<BTreeMap<String, usize>> {
        let url = format!("{}/admin/v1/shards", self.launch_of(number).management);
        let client = &self.deployment.client;
        let sent = client
            .send(reqwest::Method::GET, &url, &[], None)
            .await
            .ok()?;
        let mut owners = BTreeMap::new();
        for shard in sent.body["items"].as_array()? {
            let owner = shard["owner"]["node"].as_str()?;
            *owners.entry(owner.to_owned()).or_default() += 1;
        }
        Some(owners)
    }

    /// Waits until some replica sees every shard owned, by `replicas` of them within one.
    pub async fn balanced(&self, replicas: usize) {
        let what = format!("{SHARDS} shards are spread over {replicas} replicas");
        until(&what, || async {
            for number in 0..self.len() {
                let Some(owners) = self.owners(number).await else {
                    continue;
                };
                let (least, most) = (owners.values().min()?, owners.values().max()?);
                let all: usize = owners.values().sum();
                return (all == SHARDS && owners.len() == replicas && most - least <= 1)
                    .then_some(());
            }
            None
        })
        .await;
    }

    /// The number of the replica that owns an order, as replica `asked` knows it.
    pub async fn owner_of(&self, asked: usize, order: uuid::Uuid) -> usize {
        let actor = self.admin(asked, &format!("actors/{order}")).await;
        let shard = actor["shard"].as_u64().expect("a shard");
        let shard = self.admin(asked, &format!("shards/{shard}")).await;
        let node = shard["owner"]["node"].as_str().expect("an owner");
        let found = (0..self.len()).find(|number| self.node(*number) == node);
        found.unwrap_or_else(|| panic!("{node} is none of ours"))
    }

    /// Checks I1 to I8 and the clients' history. Every replica that is there runs.
    pub async fn check(&mut self, told: &Acknowledged, history: &History, recorders: &[&Recorder]) {
        let scope = Scope::default();
        let (first, more) = match recorders {
            [] => (None, &[][..]),
            [first, more @ ..] => (Some(*first), more),
        };
        let mut found = check_invariants(&self.deployment, told, first, scope).await;
        let rows = crate::support::check::journal::JournalRows::read(&self.deployment.orders_url);
        let rows = rows.await;
        for recorder in more {
            found.extend(shown::check_recorder(recorder, &rows).await);
        }
        for number in 1..self.len() {
            if self.replica(number).is_running() {
                let management = self.launch_of(number).management.clone();
                found.extend(shown::check_metrics_of(&self.deployment.client, &management).await);
            }
        }
        found.extend(self.check_history(history).await);
        assert!(
            found.is_empty(),
            "{} violations, among them:\n{:#?}",
            found.len(),
            &found[..found.len().min(12)]
        );
    }

    async fn check_history(&self, history: &History) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut all: Vec<_> = history.ops().into_iter().collect();
        assert!(!all.is_empty(), "nobody did anything");
        // Where clients met there is most to be explained.
        all.sort_by_key(|(_, ops)| !history::is_contended(ops));
        let mut searched = HashSet::new();
        for (order, ops) in &all {
            found.extend(history::check(*order, ops));
            if searched.len() == SEARCHED_MAX {
                continue;
            }
            let path = format!("/api/v1/orders/{order}/history");
            let answer = self.deployment.client.get(&path).await.expect(200);
            let items = answer.body["items"].as_array().expect("items");
            let log: Vec<bool> = items
                .iter()
                .map(|item| item["by"] == "service:anonymous")
                .collect();
            match search::is_explained(ops, &log) {
                Some(true) => {
                    searched.insert(*order);
                }
                Some(false) => found.push(Violation::new(
                    Invariant::OneWriter,
                    format!("{order}: no order of events explains {ops:?} with {log:?}"),
                )),
                None => {}
            }
        }
        assert!(
            !searched.is_empty(),
            "no history was short enough to be searched"
        );
        found
    }
}

/// A wire before the server of `url`, and the URL that goes by it.
async fn by_wire(url: &str) -> (Wire, String) {
    let begin = url
        .rfind('@')
        .map_or_else(|| url.find("//").map_or(0, |at| at + 2), |at| at + 1);
    let end = url[begin..].find('/').map_or(url.len(), |at| begin + at);
    let wire = Wire::before(url[begin..end].parse().expect("an address")).await;
    let through = format!("{}{}{}", &url[..begin], wire.address, &url[end..]);
    (wire, through)
}

fn bare(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}
