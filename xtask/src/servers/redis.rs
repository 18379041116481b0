//! Redis as Debian packages it. It writes its data at a clean stop, so a restart brings old entries back.
//! That is the harder case for the user of a cache.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::locate;
use super::server::{Launch, Server};

/// A Redis server.
pub type Redis = Server<RedisLaunch>;

const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How Redis is prepared, started and asked.
#[derive(Debug)]
pub struct RedisLaunch;

impl Launch for RedisLaunch {
    const NAME: &'static str = "redis";
    const STOP_SIGNAL: &'static str = "TERM";

    fn prepare(_dir: &Path, _port: u16) -> Result<()> {
        Ok(())
    }

    fn command(dir: &Path, port: u16) -> Result<Command> {
        let program = locate::find_on_path("redis-server");
        let mut command = Command::new(program.context("no redis-server here: install Redis 7")?);
        command
            .current_dir(dir)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.arg("--dir").arg(dir).args(["--daemonize", "no"]);
        command.args(["--maxmemory-policy", "volatile-lru"]);
        // It saves at a stop, and hardly ever in between, so as not to disturb measurements.
        command.args(["--save", "3600 1", "--appendonly", "no"]);
        Ok(command)
    }

    fn is_ready(port: u16) -> bool {
        ping(port).unwrap_or(false)
    }

    fn url(port: u16) -> String {
        format!("redis://127.0.0.1:{port}")
    }
}

fn ping(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(b"PING\r\n")?;
    // While it loads its data it answers `-LOADING`.
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"+PONG")
}
