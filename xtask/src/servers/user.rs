//! The user of this process, and the system user for a server that refuses root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A system user's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    own_uid() == Some(0)
}

/// The user that this process runs as.
pub fn own_uid() -> Option<u32> {
    fs::metadata("/proc/self")
        .ok()
        .map(|metadata| metadata.uid())
}

/// Looks a user up by name.
pub fn find(name: &str) -> Result<User> {
    let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    parse(&passwd, name).with_context(|| format!("no user {name} in /etc/passwd"))
}

/// Refuses a path that another user can't reach, such as one below a home that only root may enter.
pub fn check_reachable(path: &Path) -> Result<()> {
    for folder in path.ancestors().filter(|folder| folder.is_dir()) {
        if fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
            bail!(
                "the user postgres can't enter {}: choose another folder (TRACKOPS_SERVICES_DIR)",
                folder.display()
            );
        }
    }
    Ok(())
}

fn parse(passwd: &str, name: &str) -> Option<User> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some(User {
        uid: ids.next()?.parse().ok()?,
        gid: ids.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_counts() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:1:2::/:\npostgres:x:105:107:,,,:/:\n";
        assert_eq!(parse(passwd, "postgres"), Some(User { uid: 105, gid: 107 }));
        assert_eq!(parse(passwd, "redis"), None);
    }
}
