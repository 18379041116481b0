//! `cargo xtask cluster`: several order replicas on loopback against the real servers, with a proxy in front,
//! for people to try what happens when one of them fails.
//!
//! Every process has a start script in the cluster's folder, so that a person can start a killed one again.
//! Files with process ids let a later command find the running processes.

mod http;
mod member;
mod plan;
mod show;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::{cargo, need, services};
use member::{LOOK_EVERY, Member};
use plan::Plan;

/// How long a start may take: a build beside it makes it slow.
const READY_MAX: Duration = Duration::from_secs(60);
/// A replica's own limit for a clean stop is 10 s.
const STOP_MAX: Duration = Duration::from_secs(15);
/// The file that the shell of `cluster up` locks while it keeps the cluster in the foreground.
const LOCK: &str = "lock";
/// The item that `trackops place` orders by default.
const SKU: &str = "PIZZA-MARGHERITA";

/// Waits for Ctrl-C and then becomes `cluster down`: this program has no signal handlers of its own. The
/// shell is the parent of the processes, and reaps those that are killed.
const FOREGROUND: &str = r#"
trap 'trap "" INT TERM HUP; exec "$0" cluster down' INT TERM HUP
while :; do sleep 1; done
"#;

const USAGE: &str = "\
cargo xtask cluster up [--replicas 3] [--listen 127.0.0.1:8080], or cargo xtask cluster down";

/// The options of `cluster up`.
struct Wanted {
    replicas: usize,
    listen: SocketAddr,
}

/// Runs `cluster up …` or `cluster down`.
pub fn run(args: &[&str]) -> Result<()> {
    match args {
        args if args.iter().any(|arg| matches!(*arg, "--help" | "-h")) => {
            println!("{USAGE}");
            Ok(())
        }
        ["up", rest @ ..] => up(&parse(rest)?),
        ["down"] => down(),
        _ => bail!(USAGE),
    }
}

fn parse(mut args: &[&str]) -> Result<Wanted> {
    let mut wanted = Wanted {
        replicas: 3,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
    };
    while let [name, value, rest @ ..] = args {
        match *name {
            "--replicas" => {
                wanted.replicas = value
                    .parse()
                    .ok()
                    .filter(|count| (1..=plan::REPLICAS_MAX).contains(count))
                    .with_context(|| format!("--replicas: 1 to {}", plan::REPLICAS_MAX))?;
            }
            "--listen" => {
                wanted.listen = value
                    .parse()
                    .with_context(|| format!("--listen: not an address with a port: {value}"))?;
            }
            other => bail!("no such option: {other}"),
        }
        args = rest;
    }
    match args {
        [] => Ok(wanted),
        more => bail!("no such option, or no value: {}", more.join(" ")),
    }
}

/// Doesn't return unless something fails: it becomes the shell that waits for Ctrl-C.
fn up(wanted: &Wanted) -> Result<()> {
    let dir = folder()?;
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let lock = fs::File::create(dir.join(LOCK)).context("create the cluster's lock")?;
    if lock.try_lock().is_err() && !member::running(&dir)?.is_empty() {
        bail!(
            "a cluster is running: end it by Ctrl-C in its terminal or by `cargo xtask cluster down`"
        );
    }
    need::compilers()?;
    eprintln!("building trackops and the proxy (some minutes the first time, seconds after that)");
    let bins = ["--bin", "trackops", "--bin", "trackops-load-tests"];
    cargo::run(&[&["build", "--workspace"], bins.as_slice()].concat())?;
    let servers = services::up_all()?;
    stop_all(&dir)?;
    if std::net::TcpListener::bind(wanted.listen).is_err() {
        bail!("{} is in use: choose another by --listen", wanted.listen);
    }
    let plan = Plan::make(&dir, &servers, wanted.replicas, &wanted.listen.to_string())?;
    let started = start(&plan);
    if let Err(error) = started {
        stop_all(&dir)?;
        return Err(error);
    }
    show::print(&plan, &wanted.listen.to_string(), &dir);
    let own = std::env::current_exe().context("find this program")?;
    // The shell holds the lock as long as it waits.
    let mut foreground = Command::new("sh");
    foreground.args(["-c", FOREGROUND]).arg(own).stdin(lock);
    let error = foreground.exec();
    // Reached only without a shell, which the scripts have needed already.
    stop_all(&dir)?;
    Err(anyhow!(error).context("wait for Ctrl-C"))
}

/// Stops every running process of the cluster; the servers and the data stay.
fn down() -> Result<()> {
    stop_all(&folder()?)
}

fn start(plan: &Plan) -> Result<()> {
    plan.make_certificates()?;
    plan.migrate()?;
    for member in plan.members() {
        member.start()?;
    }
    let deadline = Instant::now() + READY_MAX;
    for member in plan.members() {
        wait_ready(member, deadline)?;
    }
    let path = format!("/api/v1/inventory/items/{SKU}");
    let stocked = http::put(plan.inventory_public(), &path, r#"{"onHand":1000000}"#);
    if stocked != Some(200) {
        bail!("inventory didn't take the stock of {SKU}: {stocked:?}");
    }
    Ok(())
}

fn wait_ready(member: &Member, deadline: Instant) -> Result<()> {
    while !member.is_ready() {
        if member.pid().is_none() {
            bail!("{} ended:\n{}", member.name, member.log_end());
        }
        if Instant::now() > deadline {
            bail!("{} isn't ready:\n{}", member.name, member.log_end());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Stops every process with a process-id file, the proxy last, because clients are connected to it.
fn stop_all(dir: &Path) -> Result<()> {
    let (proxy, rest): (Vec<_>, Vec<_>) = member::running(dir)?
        .into_iter()
        .partition(|(name, _)| name == plan::PROXY);
    for wave in [rest, proxy] {
        for (name, pid) in &wave {
            eprintln!("{name:<9} {pid:<7} stops");
            member::signal(*pid, "TERM");
        }
        let start = Instant::now();
        let mut left = wave;
        while !left.is_empty() && start.elapsed() < STOP_MAX {
            std::thread::sleep(LOOK_EVERY);
            left.retain(|(name, pid)| member::pid_of(dir, name) == Some(*pid));
        }
        for (name, pid) in left {
            eprintln!("{name:<9} {pid:<7} didn't stop within {STOP_MAX:?} and is killed");
            member::signal(pid, "KILL");
        }
    }
    Ok(())
}

fn folder() -> Result<PathBuf> {
    Ok(services::services_dir()?.join("cluster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_and_refused() {
        let wanted = parse(&["--listen", "127.0.0.1:1", "--replicas", "5"]).expect("sound");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        assert_eq!((wanted.replicas, wanted.listen), (5, listen));
        assert_eq!(parse(&[]).expect("sound").replicas, 3);
        for wrong in [
            &["--replicas"][..],
            &["--replicas", "0"],
            &["--what", "1"],
            &["--listen", "127.0.0.1:99999"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
