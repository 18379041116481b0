//! A folder for temporary servers, which the servers' users can reach.

use std::env;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::pids;

/// On a disk even if `/tmp` is in memory, so that fsync has an effect.
const BASE: &str = "/var/tmp";
const PREFIX: &str = "trackops-scratch-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of this process's own, removed when dropped. Declare it before the servers in it: the value
/// declared first is dropped last.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty folder; the tag is for people who look into it.
    ///
    /// First removes the folders of processes that ended without removing them.
    pub fn new(tag: &str) -> Result<Self> {
        let base = env::var_os("TRACKOPS_SCRATCH_DIR").map_or_else(|| BASE.into(), PathBuf::from);
        sweep(&base);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{PREFIX}{}-{number}-{tag}", process::id()));
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .with_context(|| format!("create {}", path.display()))?;
        // Set explicitly, because a strict umask would keep PostgreSQL's user out.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody can handle an error here; the next process removes the folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if owner(&name.to_string_lossy()).is_some_and(|pid| pids::stat(pid).is_none()) {
            // An error means that another user owns the folder; then it stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_this_form_have_an_owner() {
        assert_eq!(owner("trackops-scratch-12-0-fence"), Some(12));
        assert_eq!(owner("trackops-services-12"), None);
    }
}
