//! Installs Debian packages without starting their servers and without the database cluster that PostgreSQL's
//! package would make.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A shell script, so that the policy file is removed again also after an interrupt. An existing policy (as
/// in containers) stays in force.
const SCRIPT: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive
get() {
    said=$(apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" 2>&1) && return
    printf '%s\n' "$said" >&2
    exit 1
}
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
get update
case " $* " in *" postgresql "*)
    get install -y --no-install-recommends postgresql-common
    sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
esac
get install -y --no-install-recommends "$@"
if command -v systemctl >/dev/null; then
    for server in redis-server nginx pgbouncer; do
        case " $* " in *" $server "*) systemctl disable "$server" 2>/dev/null || : ;; esac
    done
fi
"#;

/// Whether this is Debian or a system derived from it.
pub fn is_here() -> bool {
    Path::new("/usr/bin/apt-get").is_file()
}

/// Installs packages, after saying which.
pub fn install(packages: &[&str]) -> Result<()> {
    eprintln!("installing Debian packages: {}", packages.join(" "));
    let status = Command::new("sh")
        .args(["-c", SCRIPT, "install"])
        .args(packages)
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!("apt-get could not install {}", packages.join(" "));
    }
    Ok(())
}
