//! The stage that runs `cargo deny check` by `deny.toml`, where the tool is at hand. What it lacks is named in the
//! table and is no failure: a developer needs neither the tool nor its database.

use std::env;
use std::path::PathBuf;

use xtask::servers::find_on_path;

use crate::cargo;
use crate::stages::Stages;

/// What needs no database.
const OFFLINE_CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// Runs the checks that are possible here. The database is never fetched, so that a run needs no other network than
/// that of cargo; `cargo deny fetch` fetches it.
pub fn run(stages: &mut Stages) {
    if find_on_path("cargo-deny").is_none() {
        stages.leave_out("deny", "cargo-deny is not installed");
        return;
    }
    let mut args = vec!["deny", "check", "--disable-fetch"];
    if has_database() {
        args.push("advisories");
    } else {
        stages.leave_out("deny advisories", "`cargo deny fetch` has not been run");
    }
    args.extend(OFFLINE_CHECKS);
    stages.run("deny", || cargo::run(&args));
}

/// Whether there is a database of advisories where `cargo deny` puts it.
fn has_database() -> bool {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let entries = home.and_then(|home| home.join("advisory-dbs").read_dir().ok());
    entries.is_some_and(|mut entries| entries.next().is_some())
}
