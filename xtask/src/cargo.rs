//! Calls cargo, and finds where it puts its output.
//!
//! Every call is for the whole workspace: another selection would have other features and compile
//! dependencies again. `RUSTFLAGS` are never changed, for the same reason.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// The workspace's root, absolute. The variable of `cargo run` comes first: in a checkout that was moved, or
/// that shares a target folder with another, this program may have been built elsewhere.
pub fn workspace() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let run_by_cargo = env::var("CARGO_PKG_NAME").is_ok_and(|name| name == "xtask");
        let own = env::var_os("CARGO_MANIFEST_DIR")
            .filter(|_| run_by_cargo)
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        own.parent().unwrap_or(&own).to_owned()
    });
    &ROOT
}

/// The target folder that this program was built into, without `debug`.
pub fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("find this program")?;
    let target = program.parent().and_then(Path::parent);
    Ok(target
        .context("this program is not in a target folder")?
        .to_owned())
}

/// A command for the cargo that called this program, in the workspace's root.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(workspace());
    command
}

/// The feature of the production build.
pub const TLS: &str = "trackops/tls";

/// The same for a build with [`TLS`].
///
/// It takes the system's OpenSSL where `pkg-config` finds one. The production build compiles an OpenSSL of its own,
/// which takes minutes and has no line of ours. All other C of the feature (librdkafka with TLS, zstd, ring) is compiled.
pub fn with_tls(args: &[&str]) -> Command {
    let mut command = command(args);
    let found = Command::new("pkg-config")
        .args(["--exists", "openssl"])
        .status();
    if found.is_ok_and(|status| status.success()) {
        command.env("OPENSSL_NO_VENDOR", "1");
    }
    command
}

/// Runs cargo with its output shown.
pub fn run(args: &[&str]) -> Result<()> {
    run_command(&mut command(args))
}

/// The same for a [`command`] that was changed.
pub fn run_command(command: &mut Command) -> Result<()> {
    let status = command.status().context("start cargo")?;
    if !status.success() {
        let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(())
}
