//! Free loopback ports below the range of the ports of outgoing connections.
//!
//! A port inside that range is a trap for a server that restarts on it. While the server is down, a client
//! that keeps connecting can get that very port as its own and connect to itself.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

const LOWEST: u16 = 15_000;
/// Where that range begins on Linux by default.
const EPHEMERAL_LOWEST: u16 = 32_768;
/// A machine that refuses so many random ports has another problem.
const TRIES_MAX: u32 = 200;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nothing listens on and that this process hasn't given out before.
pub fn free() -> Result<u16> {
    let highest = ephemeral_lowest().max(LOWEST + 1000);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    for attempt in 0..TRIES_MAX {
        let span = u64::from(highest - LOWEST);
        let offset = RandomState::new().hash_one(attempt) % span;
        let port = LOWEST + u16::try_from(offset)?;
        if !given.contains(&port) && is_free(port) {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port between {LOWEST} and {highest} on 127.0.0.1")
}

/// Whether a server could listen there now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn ephemeral_lowest() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest = range
        .split_whitespace()
        .next()
        .and_then(|low| low.parse().ok());
    lowest.unwrap_or(EPHEMERAL_LOWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_the_same_port_twice() -> Result<()> {
        let ports = (0..20).map(|_| free()).collect::<Result<HashSet<_>>>()?;
        assert_eq!(ports.len(), 20);
        Ok(())
    }
}
