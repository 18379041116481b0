//! A fresh set of databases, topics and keys, and the roles that run on them.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::role::{forget_bench_settings, free_address, open_log};
use super::{Databases, Launch, Redis, Role, Settings, scalar};

/// One system under test.
pub struct Deployment<'a> {
    /// The database of the order role.
    pub orders_url: String,
    /// The database of the inventory role.
    pub inventory_url: String,
    /// The Redis server that it writes through.
    pub redis: Redis,
    settings: &'a Settings,
    binary: PathBuf,
    name: String,
    environment: Vec<(String, String)>,
}

/// Rows that the order role left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rows {
    pub orders: u64,
    pub first_versions: u64,
    pub events: u64,
    pub outbox: u64,
}

impl<'a> Deployment<'a> {
    /// Makes the databases and migrates them; `name` tells deployments of one run apart.
    pub async fn create(settings: &'a Settings, databases: &Databases, name: &str) -> Result<Self> {
        Self::create_for(settings, databases, name, settings.binary()?).await
    }

    /// Like `create`, for another `trackops` than the one that is measured otherwise.
    pub async fn create_for(
        settings: &'a Settings,
        databases: &Databases,
        name: &str,
        binary: PathBuf,
    ) -> Result<Self> {
        let orders_url = databases
            .create(settings, &format!("{name}_orders"))
            .await?;
        let inventory_url = databases
            .create(settings, &format!("{name}_inventory"))
            .await?;
        let redis_url = settings.redis()?;
        let redis = Redis::parse(&redis_url)?;
        let tag = format!("{}-{name}", settings.tag.replace('_', "-"));
        let environment = [
            ("TRACKOPS_ORDERS_DATABASE_URL", orders_url.clone()),
            ("TRACKOPS_INVENTORY_DATABASE_URL", inventory_url.clone()),
            ("TRACKOPS_REDIS_URL", redis_url),
            ("TRACKOPS_KAFKA_BROKERS", settings.kafka()?),
            ("TRACKOPS_KAFKA_PREFIX", format!("{tag}-")),
            ("TRACKOPS_REDIS_PREFIX", format!("{tag}:")),
        ];
        let environment = environment
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
        let deployment = Self {
            orders_url,
            inventory_url,
            redis,
            settings,
            binary,
            name: name.to_owned(),
            environment,
        };
        deployment.migrate().await?;
        Ok(deployment)
    }

    /// Starts `role` on free ports, with `extra` settings.
    pub async fn start(&self, role: &str, extra: &[(&str, &str)]) -> Result<Role> {
        self.start_as(role, role, extra).await
    }

    /// Like `start`, under a name of its own in messages and logs.
    pub async fn start_as(&self, role: &str, name: &str, extra: &[(&str, &str)]) -> Result<Role> {
        let (public, management) = (free_address()?, free_address()?);
        let mut environment = self.environment.clone();
        environment.push(("TRACKOPS_LISTEN".to_owned(), public.to_string()));
        environment.push((
            "TRACKOPS_MANAGEMENT_LISTEN".to_owned(),
            management.to_string(),
        ));
        environment.push(("TRACKOPS_NODE_ID".to_owned(), format!("bench-{name}")));
        environment.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let arguments = vec![role.to_owned()];
        let log = self.log(name);
        let launch = Launch {
            name,
            binary: &self.binary,
            arguments,
            environment: &environment,
            public,
            management,
            log,
        };
        Role::start(launch).await
    }

    /// Counts the rows of journal and outbox.
    pub async fn rows(&self) -> Result<Rows> {
        let count = async |sql: &str| scalar(&self.orders_url, sql).await;
        Ok(Rows {
            orders: count("SELECT count(*) FROM orders").await?,
            first_versions: count("SELECT count(*) FROM order_events WHERE version = 1").await?,
            events: count("SELECT count(*) FROM order_events").await?,
            outbox: count("SELECT count(*) FROM outbox").await?,
        })
    }

    /// Transactions that its two databases have committed so far, by `pg_stat_database`: busy backends
    /// report every second, idle ones up to 10 s late. Asked by way of a third database.
    pub async fn commits(&self) -> Result<u64> {
        let name = |role| format!("{}_{}_{role}", self.settings.tag, self.name);
        let (orders, inventory) = (name("orders"), name("inventory"));
        let sql = format!(
            "SELECT coalesce(sum(xact_commit), 0)::bigint FROM pg_stat_database \
             WHERE datname IN ('{orders}', '{inventory}')"
        );
        scalar(&self.settings.postgres("postgres")?, &sql).await
    }

    /// Deletes what this deployment left in Redis, and says how much that was.
    pub async fn forget_keys(&self) -> Result<u64> {
        self.redis
            .forget(self.variable("TRACKOPS_REDIS_PREFIX")?)
            .await
    }

    /// What the names of its topics begin with.
    pub fn topic_prefix(&self) -> Result<&str> {
        self.variable("TRACKOPS_KAFKA_PREFIX")
    }

    fn variable(&self, wanted: &str) -> Result<&str> {
        let found = self.environment.iter().find(|(name, _)| name == wanted);
        let (_, value) = found.with_context(|| format!("no {wanted} in create"))?;
        Ok(value)
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.settings
            .output
            .join("logs")
            .join(format!("{}-{}-{name}.log", self.settings.tag, self.name))
    }

    /// Runs `trackops` with these arguments to its end; what it prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        forget_bench_settings(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().await.context("start trackops")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn migrate(&self) -> Result<()> {
        let log = self.log("migrate");
        let output = open_log(&log)?;
        let mut command = Command::new(&self.binary);
        command
            .arg("migrate")
            .stdout(output.try_clone()?)
            .stderr(output);
        forget_bench_settings(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let status = command.status().await.context("start trackops migrate")?;
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        ensure!(status.success(), "trackops migrate: {status}\n{}", text());
        Ok(())
    }
}

/// Starts `trackops dev` on one free port with its data in `folder`.
pub async fn start_dev(
    settings: &Settings,
    folder: &std::path::Path,
    extra: &[(String, String)],
) -> Result<Role> {
    let public: SocketAddr = free_address()?;
    let binary = settings.binary()?;
    let folder_text = folder
        .to_str()
        .context("the data directory's name is not UTF-8")?;
    let arguments = [
        "dev",
        "--data-dir",
        folder_text,
        "--listen",
        &public.to_string(),
    ]
    .map(str::to_owned)
    .to_vec();
    let log = settings
        .output
        .join("logs")
        .join(format!("{}-dev.log", settings.tag));
    let launch = Launch {
        name: "dev",
        binary: &binary,
        arguments,
        environment: extra,
        public,
        management: public,
        log,
    };
    Role::start(launch).await
}
