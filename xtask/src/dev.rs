//! `cargo xtask dev`: builds the server and becomes it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::{cargo, need};

/// Doesn't return unless something fails: Ctrl-C and the exit code are the server's.
pub fn run(args: &[&str]) -> Result<()> {
    need::compilers()?;
    eprintln!("building trackops (some minutes the first time, seconds after that)");
    cargo::run(&["build", "--workspace", "--bin", "trackops"])?;
    let program = cargo::target_dir()?.join("debug").join("trackops");
    eprintln!("starting trackops dev --demo with nothing but files of its own; Ctrl-C ends it");
    let error = Command::new(&program)
        .args(["dev", "--demo"])
        .args(args)
        .exec();
    Err(anyhow!(error).context(format!("start {}", program.display())))
}
