//! nginx as Debian packages it, in front of a server. The caller writes `site.conf` into the folder before
//! the start: the content of the `http` block, with `listen` on [`PORT_WORD`].

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::locate;
use super::server::{Launch, Server};

/// An nginx.
pub type Nginx = Server<NginxLaunch>;

/// The placeholder in `site.conf` for nginx's port.
pub const PORT_WORD: &str = "@PORT@";

/// A single process, so that no child outlives it. Everything that it writes is in the folder; all other
/// settings are nginx's defaults.
const MAIN: &str = "daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
access_log off;
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi;
scgi_temp_path scgi;
include site.conf.set;
}
";

/// How nginx is prepared, started and asked.
#[derive(Debug)]
pub struct NginxLaunch;

impl Launch for NginxLaunch {
    const NAME: &'static str = "nginx";
    const STOP_SIGNAL: &'static str = "QUIT";

    fn prepare(dir: &Path, port: u16) -> Result<()> {
        let site = fs::read_to_string(dir.join("site.conf")).context("read site.conf")?;
        fs::write(
            dir.join("site.conf.set"),
            site.replace(PORT_WORD, &port.to_string()),
        )?;
        fs::write(dir.join("nginx.conf"), MAIN)?;
        Ok(())
    }

    fn command(dir: &Path, _port: u16) -> Result<Command> {
        let program =
            locate::find_server_program("nginx").context("no nginx here: install nginx")?;
        let mut command = Command::new(program);
        command.arg("-p").arg(dir);
        command.arg("-c").arg(dir.join("nginx.conf"));
        // Without this option it would write to the system's log until it has read its configuration.
        command.args(["-e", "stderr"]);
        Ok(command)
    }

    fn is_ready(port: u16) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    fn url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }
}
