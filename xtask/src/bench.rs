//! `cargo xtask bench`: builds with optimisation, starts fresh servers, and runs the load generator, which
//! measures and reports.

use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::servers::find_postgres_program;

use crate::testbed::Testbed;
use crate::{cargo, need};

/// What needs no server, and runs in a process of its own: a `[[bench]]` of the root package.
const ALONE: [&str; 1] = ["limits"];

const KINDS: [&str; 11] = [
    "place",
    "credentials",
    "lifecycle",
    "push",
    "memory",
    "cluster",
    "embedded",
    "whole",
    "sustained",
    "soak",
    "all",
];

/// Runs one benchmark, or all; the options are the load generator's.
pub fn run(args: &[&str]) -> Result<()> {
    let (what, options) = match args {
        [what, options @ ..] if !what.starts_with('-') => (*what, options),
        options => ("all", options),
    };
    if ALONE.contains(&what) {
        need::compilers()?;
        return cargo::run(&["bench", "--bench", what]);
    }
    if !KINDS.contains(&what) {
        let all = [&KINDS[..], &ALONE].concat().join(", ");
        bail!("no such benchmark: {what}. There are: {all}");
    }
    need::compilers()?;
    need::servers()?;
    let bins = ["--bin", "trackops", "--bin", "trackops-load-tests"];
    cargo::run(&[&["build", "--release", "--workspace"], bins.as_slice()].concat())?;
    // The servers start after the build, so that nothing else runs beside them.
    let servers = Testbed::start("TRACKOPS_BENCH")?;
    let release = cargo::target_dir()?.join("release");
    let status = Command::new(release.join("trackops-load-tests"))
        .args(["bench", what])
        .args(options)
        .envs(servers.variables.iter().map(|(name, value)| (name, value)))
        .env(
            "TRACKOPS_BENCH_OUTPUT",
            cargo::workspace().join("target/bench"),
        )
        .env("TRACKOPS_BENCH_BINARY", release.join("trackops"))
        .env("TRACKOPS_BENCH_PGBENCH", find_postgres_program("pgbench")?)
        .status()
        .context("start trackops-load-tests")?;
    if !status.success() {
        bail!("bench {what} failed");
    }
    Ok(())
}
