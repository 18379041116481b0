//! Whether `dev` may listen where it was told to. Unless it asks everybody for a key, it serves beyond loopback
//! only when somebody has said that it shall.

use std::net::SocketAddr;

use thiserror::Error;

/// `dev` would serve other machines, and nobody has said that it shall.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "dev asks nobody who they are, and {addr} (set by {flag}) can be reached from other machines: choose an \
     address on loopback, ask everybody for a key (TRACKOPS_AUTH=required), or give --expose-unprotected if \
     everyone who reaches it may do everything"
)]
pub(super) struct Exposed {
    addr: SocketAddr,
    flag: &'static str,
}

/// Refuses the first of `addresses` (each with what sets it) that isn't on loopback, unless `is_wanted`.
pub(super) fn check(
    addresses: &[(SocketAddr, &'static str)],
    is_wanted: bool,
) -> Result<(), Exposed> {
    if is_wanted {
        return Ok(());
    }
    let is_exposed = |addr: &SocketAddr| !addr.ip().to_canonical().is_loopback();
    let exposed = addresses.iter().find(|(addr, _)| is_exposed(addr));
    match exposed {
        Some(&(addr, flag)) => Err(Exposed { addr, flag }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_needs_no_word() {
        let at = |addr: &str| (addr.parse().expect("an address"), "--listen");
        for own in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(check(&[at(own)], false), Ok(()), "{own}");
        }
        for exposed in [
            "0.0.0.0:1",
            "[::]:1",
            "10.0.0.1:1",
            "[fe80::1]:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            let both = [at("127.0.0.1:2"), at(exposed)];
            let refused = check(&both, false).expect_err(exposed).to_string();
            assert_eq!(refused.lines().count(), 1, "{refused}");
            assert!(
                refused.contains(exposed) && refused.contains("--expose-unprotected"),
                "{refused}"
            );
            assert_eq!(check(&both, true), Ok(()), "{exposed}");
        }
    }
}
