//! PostgreSQL as Debian packages it, with its own defaults for durability: fsync and
//! `synchronous_commit` stay on.
//!
//! It refuses to run as root; started by root it runs as the package's user `postgres`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::server::{Launch, Server};
use super::{locate, pids, user};

/// A PostgreSQL server; superuser `postgres`, trusted on loopback.
pub type Postgres = Server<PostgresLaunch>;

/// Fault tests start many replicas, each with its pools.
const CONNECTIONS_MAX: &str = "max_connections=300";
/// With the default of 1 GB a benchmark's minute has several checkpoints. Each stalls requests for a few
/// hundred milliseconds, which distorts our measurements and pgbench's alike.
const WAL_MAX: &str = "max_wal_size=8GB";
/// This much of the write-ahead log is reused after a checkpoint; making a new log file stops every commit.
const WAL_MIN: &str = "min_wal_size=6GB";
/// With the default of 128 MB a process that needs a buffer must first write out another page. The kernel
/// then flushes all these pages at once and delays the log. Memory that isn't used isn't allocated.
const BUFFERS: &str = "shared_buffers=2GB";
const CHECKPOINTS_EVERY: &str = "checkpoint_timeout=15min";
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How PostgreSQL is prepared, started and asked.
#[derive(Debug)]
pub struct PostgresLaunch;

impl Launch for PostgresLaunch {
    const NAME: &'static str = "postgres";
    // "Fast": sessions are ended, and not waited for.
    const STOP_SIGNAL: &'static str = "INT";
    // "Immediate": it also ends the children, which are in groups of their own.
    const END_SIGNAL: &'static str = "QUIT";

    fn prepare(dir: &Path, _port: u16) -> Result<()> {
        let data = dir.join("data");
        if data.join("PG_VERSION").exists() {
            return clear_stale_lock(&data);
        }
        make_data(&data)
    }

    fn command(dir: &Path, port: u16) -> Result<Command> {
        let data = dir.join("data");
        let mut command = as_server_user(&locate::find_postgres_program("postgres")?, &data)?;
        command
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()])
            .args([
                "-c",
                CONNECTIONS_MAX,
                "-c",
                WAL_MAX,
                "-c",
                WAL_MIN,
                "-c",
                BUFFERS,
                "-c",
                CHECKPOINTS_EVERY,
                "-c",
                "listen_addresses=127.0.0.1",
                // No socket file: its path may be too long, and clients use loopback.
                "-c",
                "unix_socket_directories=",
            ]);
        Ok(command)
    }

    fn is_ready(port: u16) -> bool {
        ask(port).unwrap_or(false)
    }

    fn url(port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}")
    }
}

impl PostgresLaunch {
    /// Makes the data below `dir` a copy of the data of the PostgreSQL on `port`, to run as its standby.
    pub fn follow(dir: &Path, port: u16) -> Result<()> {
        let data = dir.join("data");
        make_folder(&data)?;
        let output = as_server_user(&locate::find_postgres_program("pg_basebackup")?, &data)?
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
            .args(["--checkpoint=fast", "--write-recovery-conf", "--no-sync"])
            .output()
            .context("run pg_basebackup")?;
        said_well("pg_basebackup", &output)
    }
}

fn make_data(data: &Path) -> Result<()> {
    make_folder(data)?;
    let output = as_server_user(&locate::find_postgres_program("initdb")?, data)?
        .arg("-D")
        .arg(data)
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ])
        .output()
        .context("run initdb")?;
    said_well("initdb", &output)
}

/// Makes an empty folder that belongs to the server's user.
fn make_folder(data: &Path) -> Result<()> {
    // A first start that was cut short leaves a folder without PG_VERSION.
    if data.exists() {
        fs::remove_dir_all(data).context("remove unfinished data")?;
    }
    fs::create_dir_all(data).context("create the data folder")?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700))?;
    if user::is_root() {
        let owner = user::find("postgres")?;
        chown(data, Some(owner.uid), Some(owner.gid)).context("give the data to postgres")?;
        if let Some(parent) = data.parent() {
            user::check_reachable(parent)?;
        }
    }
    Ok(())
}

fn said_well(program: &str, output: &Output) -> Result<()> {
    if !output.status.success() {
        bail!(
            "{program} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Removes the lock file of a postmaster that no longer runs. PostgreSQL does so itself, but not if the
/// process is a zombie that nothing reaps, or if its id is in use again.
fn clear_stale_lock(data: &Path) -> Result<()> {
    let lock = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&lock) else {
        return Ok(());
    };
    let pid: Option<u32> = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    if let Some(pid) = pid.filter(|pid| runs_in(*pid, data)) {
        bail!(
            "another PostgreSQL (process {pid}) already runs on {}",
            data.display()
        );
    }
    fs::remove_file(&lock).context("remove a stale postmaster.pid")
}

/// Whether the process works in this data folder, as all of PostgreSQL's processes do.
fn runs_in(pid: u32, data: &Path) -> bool {
    let running = pids::stat(pid).is_some_and(|stat| pids::is_running(pid, stat.started_ticks));
    running && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data)
}

fn as_server_user(program: &PathBuf, data: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(data);
    if user::is_root() {
        let postgres = user::find("postgres")?;
        command
            .uid(postgres.uid)
            .gid(postgres.gid)
            .env("HOME", data);
    }
    Ok(command)
}

/// Opens a session as `pg_isready` does, and checks whether it is accepted (`R`) or refused (`E`, as while
/// starting up).
pub(super) fn ask(port: u16) -> std::io::Result<bool> {
    const PROTOCOL_3_0: u32 = 196_608;
    const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);

    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&body)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    stream.write_all(&TERMINATE)?;
    Ok(kind == *b"R")
}
