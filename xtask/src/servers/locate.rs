//! Finds the servers' programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where Debian puts PostgreSQL's own programs, one folder a major version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";
/// The lowest major version that the journal's SQL was tested with.
const POSTGRES_LOWEST: u32 = 15;

/// A program by its name, on `PATH`.
pub fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A server's program, on `PATH` or in Debian's folders for programs that root starts.
pub fn find_server_program(program: &str) -> Option<PathBuf> {
    let of_debian = || Some(PathBuf::from("/usr/sbin").join(program)).filter(|file| file.is_file());
    find_on_path(program).or_else(of_debian)
}

/// One of PostgreSQL's programs (`postgres`, `initdb`, `pgbench`), of the lowest
/// version from 15 that Debian has here, else from `PATH`.
pub fn find_postgres_program(program: &str) -> Result<PathBuf> {
    debian_postgres(Path::new(DEBIAN_POSTGRES), program)
        .or_else(|| find_on_path(program))
        .with_context(|| format!("no {program} here: install PostgreSQL {POSTGRES_LOWEST}"))
}

fn debian_postgres(root: &Path, program: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(root).ok()?.flatten();
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    versions
        .into_iter()
        .filter(|version| *version >= POSTGRES_LOWEST)
        .map(|version| root.join(version.to_string()).join("bin").join(program))
        .find(|file| file.is_file())
}
