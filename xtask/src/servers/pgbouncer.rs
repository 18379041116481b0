//! `PgBouncer` as Debian packages it, in front of a PostgreSQL on loopback. It refuses to run as root;
//! started by root it runs as the user `postgres`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::server::{Launch, Server};
use super::{locate, postgres, user};

/// A `PgBouncer` that accepts every user without a password.
pub type PgBouncer = Server<PgBouncerLaunch>;

/// The part of the configuration that the caller chooses.
const CHOSEN: &str = "chosen.ini";
/// The whole configuration.
const SETTINGS: &str = "pgbouncer.ini";
const USERS: &str = "users.txt";

/// How `PgBouncer` is prepared, started and asked. [`PgBouncerLaunch::choose`] comes first.
#[derive(Debug)]
pub struct PgBouncerLaunch;

impl PgBouncerLaunch {
    /// Puts it before the PostgreSQL on `port`, in the given pool mode.
    pub fn choose(dir: &Path, port: u16, pool_mode: &str) -> Result<()> {
        fs::create_dir_all(dir).context("create a folder for PgBouncer")?;
        let chosen = format!(
            "[databases]\n* = host=127.0.0.1 port={port}\n[pgbouncer]\npool_mode = {pool_mode}\n"
        );
        fs::write(dir.join(CHOSEN), chosen).context("write PgBouncer's settings")
    }
}

impl Launch for PgBouncerLaunch {
    const NAME: &'static str = "pgbouncer";
    // TERM ends it at once, even with clients connected.
    const STOP_SIGNAL: &'static str = "TERM";

    fn prepare(dir: &Path, port: u16) -> Result<()> {
        let chosen = fs::read_to_string(dir.join(CHOSEN)).context("choose() comes first")?;
        let users = dir.join(USERS);
        fs::write(&users, "\"postgres\" \"\"\n")?;
        let settings = format!(
            "{chosen}listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\ndefault_pool_size = 60\nmax_client_conn = 400\n\
             ignore_startup_parameters = extra_float_digits\n",
            users.display()
        );
        fs::write(dir.join(SETTINGS), settings).context("write PgBouncer's settings")
    }

    fn command(dir: &Path, _port: u16) -> Result<Command> {
        let program = locate::find_server_program("pgbouncer")
            .context("no pgbouncer here: install PgBouncer")?;
        let mut command = Command::new(program);
        if user::is_root() {
            command.args(["-u", "postgres"]);
        }
        command.current_dir(dir).arg(dir.join(SETTINGS));
        Ok(command)
    }

    fn is_ready(port: u16) -> bool {
        postgres::ask(port).unwrap_or(false)
    }

    fn url(port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}")
    }
}
