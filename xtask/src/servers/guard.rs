//! Ends a server when the process that started it is gone, be it by Ctrl-C, a panic that aborts, or `kill
//! -9`.
//!
//! A small shell waits on a pipe. A line releases it; the end of the pipe without a line means that nobody is
//! left to stop the server.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// `$0` is the server's process (and group), `$1` the signal that ends it at once. A stopped process must be
/// continued before any signal but KILL can end it.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
if read -r line; then exit 0; fi
kill -s "$1" "$0"
kill -s CONT "-$0"
sleep 3
kill -s KILL "-$0"
"#;

/// Watches over one server for as long as it is held.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    /// Watches over the process; the signal is the one that ends it with its children.
    pub fn over(pid: u32, signal: &str) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, &pid.to_string(), signal])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the guard of a server")?;
        Ok(Self { shell })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // If the shell is gone, there is nothing to release.
            let _ = pipe.write_all(b"released\n");
        }
        let _ = self.shell.wait();
    }
}
