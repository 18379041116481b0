//! Reads `/proc` about processes, and sends signals by `kill`. The standard library can kill only its own
//! children, and unsafe code is forbidden here.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// The part of `/proc/<pid>/stat` that identifies a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// One letter, `Z` for a zombie.
    pub state: char,
    /// The parent's process id.
    pub parent: u32,
    /// Clock ticks since boot when it started; unique together with the id.
    pub started_ticks: u64,
}

/// Reads the state of a process; `None` if there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether the process runs. A zombie doesn't count as running: it may never be reaped.
pub fn is_running(pid: u32, started_ticks: u64) -> bool {
    stat(pid)
        .is_some_and(|stat| stat.started_ticks == started_ticks && !matches!(stat.state, 'Z' | 'X'))
}

/// The process's children and theirs, without itself.
pub fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all()
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Sends a signal (`TERM`, `KILL`, `STOP` …) to each process; those that are gone are skipped.
pub fn send(signal: &str, pids: &[u32]) -> Result<()> {
    // The shell's own `kill`: the program of that name is a package that may be missing.
    Command::new("sh")
        .args([
            "-c",
            "for pid in \"$@\"; do kill -s \"$0\" \"$pid\"; done",
            signal,
        ])
        .args(pids.iter().map(ToString::to_string))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("send SIG{signal}"))?;
    Ok(())
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parse_stat(line: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, blanks and parentheses too.
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_skipped() {
        let line = "42 (a) b (c) S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3";
        let expected = Stat {
            state: 'S',
            parent: 7,
            started_ticks: 98765,
        };
        assert_eq!(parse_stat(line), Some(expected));
    }

    #[test]
    fn this_process_runs_and_not_under_another_start_time() {
        let pid = std::process::id();
        let ticks = stat(pid)
            .map(|stat| stat.started_ticks)
            .expect("this process has a stat file");
        assert!(is_running(pid, ticks));
        assert!(!is_running(pid, ticks + 1));
    }
}
