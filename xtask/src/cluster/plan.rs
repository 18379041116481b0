//! Which processes are started, on which ports, with which settings.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::servers::free_port;

use super::member::Member;
use crate::cargo;
use crate::services::Urls;

/// The most replicas: enough to see shards move, and each is a process with its connections.
pub const REPLICAS_MAX: usize = 9;
/// The name of the proxy's files.
pub const PROXY: &str = "proxy";
/// The prefix of the cluster's own databases, topics and keys, which stay from one start to the next.
const DATABASE_PREFIX: &str = "trackops_cluster";

/// Everything that a cluster consists of.
pub struct Plan {
    /// The order replicas.
    pub replicas: Vec<Member>,
    /// The inventory role.
    pub inventory: Member,
    /// The relay.
    pub relay: Member,
    /// The proxy that clients connect to.
    pub proxy: Member,
    /// Makes the certificates of the replicas' links.
    certificates: Vec<String>,
}

impl Plan {
    /// Draws ports.
    pub fn make(dir: &Path, servers: &Urls, replicas: usize, listen: &str) -> Result<Self> {
        let folder = cargo::target_dir()?.join("debug");
        let program = folder.join("trackops").display().to_string();
        let common = common(servers);
        let member = |name: String, role: &str| -> Result<Member> {
            let [public, management] = [address()?, address()?];
            let mut environment = common.clone();
            environment.extend([
                ("TRACKOPS_AUTH".to_owned(), "open".to_owned()),
                ("TRACKOPS_LISTEN".to_owned(), public.clone()),
                ("TRACKOPS_MANAGEMENT_LISTEN".to_owned(), management.clone()),
                ("TRACKOPS_NODE_ID".to_owned(), name.clone()),
            ]);
            Ok(Member {
                name,
                command: vec![program.clone(), role.to_owned()],
                environment,
                public,
                management: Some(management),
                dir: dir.to_owned(),
            })
        };
        let tool = folder.join("trackops-load-tests").display().to_string();
        let mut certificates = [&tool, "certificates", "--dir", &dir.display().to_string()]
            .map(str::to_owned)
            .to_vec();
        let link_file = |what: &str, name: &str| {
            let variable = format!("TRACKOPS_LINK_TLS_{what}");
            (variable, dir.join(name).display().to_string())
        };
        let mut orders = Vec::with_capacity(replicas);
        for letter in ('a'..='z').take(replicas) {
            let mut replica = member(format!("order-{letter}"), "order")?;
            let link = address()?;
            replica.environment.extend([
                ("TRACKOPS_LINK_LISTEN".to_owned(), link.clone()),
                ("TRACKOPS_ADVERTISED_ADDR".to_owned(), link),
                link_file("CERT", &format!("{}-link-cert.pem", replica.name)),
                link_file("KEY", &format!("{}-link-key.pem", replica.name)),
                link_file("CA", "links-ca.pem"),
            ]);
            certificates.extend(["--replica".to_owned(), replica.name.clone()]);
            orders.push(replica);
        }
        let mut command = vec![
            tool,
            "proxy".to_owned(),
            "--listen".to_owned(),
            listen.to_owned(),
        ];
        for replica in &orders {
            let management = replica.management.as_deref().unwrap_or_default();
            command.extend([
                "--replica".to_owned(),
                format!("{},{management}", replica.public),
            ]);
        }
        let proxy = Member {
            name: PROXY.to_owned(),
            command,
            environment: Vec::new(),
            public: listen.to_owned(),
            management: None,
            dir: dir.to_owned(),
        };
        Ok(Self {
            replicas: orders,
            inventory: member("inventory".to_owned(), "inventory")?,
            relay: member("relay".to_owned(), "relay")?,
            proxy,
            certificates,
        })
    }

    /// All processes, in the order in which they are started.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let roles = [&self.inventory, &self.relay];
        roles.into_iter().chain(&self.replicas).chain([&self.proxy])
    }

    /// The inventory's public listener.
    pub fn inventory_public(&self) -> &str {
        &self.inventory.public
    }

    /// Creates databases and topics, or brings them up to date.
    pub fn migrate(&self) -> Result<()> {
        let inventory = &self.inventory;
        let mut migrate = Command::new(&inventory.command[0]);
        migrate.arg("migrate");
        migrate.envs(inventory.environment.iter().cloned());
        done("trackops migrate", &mut migrate)
    }

    /// Makes an authority and a certificate for each replica: new ones for every start.
    pub fn make_certificates(&self) -> Result<()> {
        let mut make = Command::new(&self.certificates[0]);
        make.args(&self.certificates[1..]);
        done("trackops-load-tests certificates", &mut make)
    }
}

fn common(servers: &Urls) -> Vec<(String, String)> {
    let database = |kind: &str| format!("{}/{DATABASE_PREFIX}_{kind}", servers.postgres);
    [
        ("ORDERS_DATABASE_URL", database("orders")),
        ("INVENTORY_DATABASE_URL", database("inventory")),
        ("REDIS_URL", servers.redis.clone()),
        ("REDIS_PREFIX", "cluster:".to_owned()),
        ("KAFKA_BROKERS", servers.kafka.clone()),
        ("KAFKA_PREFIX", "cluster.".to_owned()),
    ]
    .map(|(name, value)| (format!("TRACKOPS_{name}"), value))
    .into()
}

fn address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

/// Runs a command to its end, and shows what it says only if it fails.
fn done(what: &str, command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {what}"))?;
    if !output.status.success() {
        bail!(
            "{what} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
