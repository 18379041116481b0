//! CPU time of the servers, wherever they came from: found by the port that they listen on, and
//! counted with their children, those that have ended too. Servers on other machines have none.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::machine::TICKS_PER_SECOND;
use crate::numbers::to_f64;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// What every process has used so far, at one moment.
pub struct ProcessTable(HashMap<u32, Times>);

struct Times {
    parent: u32,
    /// Its own ticks and those of children that it has waited for.
    ticks: u64,
}

/// What the whole machine has used so far, in seconds of one core.
#[derive(Clone, Copy, Debug)]
pub struct MachineTimes {
    /// At work, for whomever.
    pub busy: f64,
    /// Wanted, and given to another virtual machine.
    pub stolen: f64,
}

impl ProcessTable {
    /// Reads `/proc`. A process that ends meanwhile is left out.
    pub fn read() -> Self {
        Self(pids().filter_map(|pid| Some((pid, times(pid)?))).collect())
    }

    /// CPU time of `root` and everything below it, in seconds; `None` if it has ended.
    pub fn tree_seconds(&self, root: u32) -> Option<f64> {
        let mut ticks = self.0.get(&root)?.ticks;
        let mut parents = HashSet::from([root]);
        // Children may be read before their parents: again until nobody is added.
        loop {
            let born: Vec<_> = self
                .0
                .iter()
                .filter(|(pid, times)| parents.contains(&times.parent) && !parents.contains(pid))
                .collect();
            if born.is_empty() {
                return Some(to_f64(ticks) / TICKS_PER_SECOND);
            }
            for (pid, times) in born {
                ticks += times.ticks;
                parents.insert(*pid);
            }
        }
    }
}

impl MachineTimes {
    /// Reads `/proc/stat`.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        Self::parse(&text).context("/proc/stat has another form")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<u64> = line
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal
        let [user, nice, system, _, _, irq, softirq, steal] = *fields.first_chunk()?;
        Some(Self {
            busy: to_f64(user + nice + system + irq + softirq) / TICKS_PER_SECOND,
            stolen: to_f64(steal) / TICKS_PER_SECOND,
        })
    }
}

/// The process that listens on the port of `address`, which is a URL or `host:port`; `None` if that is
/// another machine's or another user's.
pub fn listening_at(address: &str) -> Option<u32> {
    let port = local_port(address)?;
    let sockets: HashSet<PathBuf> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| listening_inodes(&text, port))
        .map(|inode| PathBuf::from(format!("socket:[{inode}]")))
        .collect();
    let holders: HashSet<u32> = pids()
        .filter(|pid| open_files(*pid).any(|link| sockets.contains(&link)))
        .collect();
    // A child that was just born still holds its parent's sockets.
    holders
        .iter()
        .copied()
        .find(|pid| times(*pid).is_some_and(|times| !holders.contains(&times.parent)))
}

/// What the descriptors of a process lead to.
pub fn open_files(pid: u32) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn times(pid: u32) -> Option<Times> {
    parse_times(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_times(stat: &str) -> Option<Times> {
    // The name in parentheses may hold anything. After it: state, parent, and from the 12th on user
    // and system time, the process' own and its waited-for children's.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<u64>().ok());
    Some(Times {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks.sum::<Option<u64>>()?,
    })
}

/// The port of an address on this machine.
fn local_port(address: &str) -> Option<u16> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split(['/', '?', ',']).next()?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let (host, port) = host.rsplit_once(':')?;
    let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    is_here.then(|| port.parse().ok())?
}

/// Inodes of the sockets in `/proc/net/tcp` that listen on `port`.
fn listening_inodes(text: &str, port: u16) -> Vec<u64> {
    let wanted = format!(":{port:04X}");
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| {
            fields.get(1).is_some_and(|local| local.ends_with(&wanted))
                && fields.get(3) == Some(&LISTENING)
        })
        .filter_map(|fields| fields.get(9)?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let url = format!("postgres://me:pw@{address}/db?x=1");
        assert_eq!(listening_at(&url), Some(std::process::id()));
        assert_eq!(listening_at("db.example:5432"), None);
        assert!(
            ProcessTable::read()
                .tree_seconds(std::process::id())
                .is_some()
        );
    }

    #[test]
    fn children_count_and_those_that_ended() {
        let stat = |pid: u32, parent: u32, own: u64, waited: u64| {
            let line =
                format!("{pid} (a b) S {parent} 7 7 0 -1 0 0 0 0 0 {own} 0 {waited} 0 20 0 1");
            (pid, parse_times(&line).expect("a stat line"))
        };
        let table = ProcessTable(HashMap::from([
            stat(10, 1, 100, 50),
            stat(12, 11, 30, 0),
            stat(11, 10, 20, 0),
            stat(20, 1, 999, 0),
        ]));
        assert_eq!(table.tree_seconds(10), Some(2.0));
        assert_eq!(table.tree_seconds(99), None);
    }

    #[test]
    fn waiting_is_not_busy_and_theft_is_told_apart() {
        let times = MachineTimes::parse("cpu  100 0 50 900 40 10 40 30 0 0\ncpu0 1 1\n");
        let times = times.expect("a line of the whole machine");
        assert!((times.busy - 2.0).abs() < 1e-9);
        assert!((times.stolen - 0.3).abs() < 1e-9);
    }
}
