//! One role as a child process, from start to SIGTERM.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};
use trackops_client::{Client, WriteOptions};

use super::machine::{cpu_seconds, kib};
use crate::http::{Connection, get};
use crate::order;

const READY_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// How to start a role.
pub struct Launch<'a> {
    /// For messages and the log's name.
    pub name: &'a str,
    /// The release binary.
    pub binary: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, besides the one inherited.
    pub environment: &'a [(String, String)],
    /// Where it will listen for clients.
    pub public: SocketAddr,
    /// Where it will answer `/readyz` and `/metrics`.
    pub management: SocketAddr,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A running role; killed when dropped, if it wasn't stopped.
pub struct Role {
    /// As in `Launch`.
    pub name: String,
    /// Where it listens for clients.
    pub public: SocketAddr,
    /// Where it answers `/readyz` and `/metrics`.
    pub management: SocketAddr,
    child: Child,
    log: PathBuf,
}

/// A loopback address that nobody listens on right now.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?)
}

impl Role {
    /// Starts the role and waits until it is ready.
    pub async fn start(launch: Launch<'_>) -> Result<Self> {
        let output = open_log(&launch.log)?;
        let mut command = Command::new(launch.binary);
        command
            .args(&launch.arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.stdout(output.try_clone()?).stderr(output);
        forget_bench_settings(&mut command);
        command.env("TRACKOPS_AUTH", "open");
        command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
        let child = command
            .spawn()
            .with_context(|| format!("start {}", launch.binary.display()))?;
        let Launch {
            public,
            management,
            log,
            ..
        } = launch;
        let mut role = Self {
            name: launch.name.to_owned(),
            public,
            management,
            child,
            log,
        };
        role.wait_until_ready().await?;
        Ok(role)
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.child
            .id()
            .with_context(|| format!("{} has ended", self.name))
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let pid = self.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(kib(&status, "VmRSS").context("no VmRSS")? * 1024)
    }

    /// CPU time that it has used so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let pid = self.pid()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        cpu_seconds(&stat).context("no CPU time in /proc")
    }

    /// Ends the role by SIGKILL, and says when.
    pub async fn kill(mut self) -> Result<Instant> {
        let at = Instant::now();
        self.child
            .start_kill()
            .with_context(|| format!("kill {}", self.name))?;
        self.child.wait().await?;
        Ok(at)
    }

    /// Stocks the whole catalogue by REST; the role must be inventory or dev.
    pub async fn stock_catalogue(&self) -> Result<()> {
        stock_catalogue(self.public).await
    }

    /// Asks the role to end (SIGTERM) and waits for it.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().with_context(|| {
            format!(
                "{} ended before it was stopped{}",
                self.name,
                self.log_end()
            )
        })?;
        // Signals need `unsafe` or a crate; a shell has them built in.
        let kill = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -TERM {pid}"))
            .status()
            .await?;
        ensure!(kill.success(), "signal {}: {kill}", self.name);
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => ensure!(
                status?.success(),
                "{} ended badly{}",
                self.name,
                self.log_end()
            ),
            Err(_) => bail!("{} is still running {STOP_MAX:?} after SIGTERM", self.name),
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_MAX;
        let request = get(self.management, "/readyz");
        let mut last = "no answer".to_owned();
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}{}", self.name, self.log_end());
            }
            let mut connection = Connection::new(self.management);
            let answer =
                tokio::time::timeout(Duration::from_secs(5), connection.call(&request)).await;
            match answer {
                Ok(Ok(response)) if response.status == 200 => return Ok(()),
                Ok(Ok(response)) => {
                    let body = String::from_utf8_lossy(response.body);
                    last = format!("{} {body}", response.status);
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => "no answer in 5 s".clone_into(&mut last),
            }
            tokio::time::sleep(POLL).await;
        }
        bail!(
            "{} is not ready after {READY_MAX:?}: {last}{}",
            self.name,
            self.log_end()
        )
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n  ");
        format!("; the end of {}:\n  {end}", self.log.display())
    }
}

/// A stock that no benchmark exhausts.
const ON_HAND: u64 = 1_000_000_000;

/// Sets it for every article.
pub async fn stock_catalogue(inventory: SocketAddr) -> Result<()> {
    let client = Client::new(&format!("http://{inventory}"))?;
    for number in 0..order::CATALOGUE_SIZE {
        let sku = order::sku(number);
        let stocked = client
            .set_on_hand(&sku, ON_HAND, WriteOptions::unkeyed())
            .await;
        stocked.with_context(|| format!("stock {sku}"))?;
    }
    Ok(())
}

/// Opens a role's log for appending.
pub fn open_log(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// The binary reads every `TRACKOPS_…` variable as its own setting.
pub fn forget_bench_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRACKOPS_BENCH_") {
            command.env_remove(&name);
        }
    }
}
