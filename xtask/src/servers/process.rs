//! One server process and its children: started in a process group of its own, and ended together. It may be
//! a child of this process or one that an earlier command left running.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::record::Record;
use super::{pids, wait};

/// How long a kill may take: the kernel ends a killed process at once, unless it waits for a disk.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// A process that was started; it may have ended since.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    started_ticks: u64,
    child: Option<Child>,
}

impl Process {
    /// Starts a command in a group of its own, so that a Ctrl-C at the terminal doesn't reach it. Its output
    /// is appended to the log.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let pid = child.id();
        let stat = pids::stat(pid).with_context(|| format!("{name} has no /proc entry"))?;
        Ok(Self {
            pid,
            started_ticks: stat.started_ticks,
            child: Some(child),
        })
    }

    /// The process of a record, if it still runs.
    pub fn attach(record: Record) -> Option<Self> {
        let Record {
            pid, started_ticks, ..
        } = record;
        pids::is_running(pid, started_ticks).then_some(Self {
            pid,
            started_ticks,
            child: None,
        })
    }

    /// The record by which `attach` finds it again.
    pub fn record(&self, port: u16) -> Record {
        Record {
            port,
            pid: self.pid,
            started_ticks: self.started_ticks,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it runs; a child that has ended is reaped.
    pub fn is_running(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => pids::is_running(self.pid, self.started_ticks),
        }
    }

    /// Asks it to end, and kills it if it hasn't ended within the limit.
    pub fn stop(&mut self, signal: &str, limit: Duration) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        pids::send(signal, &[self.pid])?;
        if wait::until(limit, || !self.is_running()) {
            Ok(())
        } else {
            self.kill()
        }
    }

    /// Kills it and every process below it, and waits until all are gone.
    pub fn kill(&mut self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        // It is stopped first, so that it starts no child between the look and the kill.
        pids::send("STOP", &[self.pid])?;
        wait::until(KILL_LIMIT, || {
            pids::stat(self.pid).is_none_or(|stat| "TZX".contains(stat.state))
        });
        let below: Vec<(u32, u64)> = pids::descendants(self.pid)
            .into_iter()
            .filter_map(|pid| Some((pid, pids::stat(pid)?.started_ticks)))
            .collect();
        let mut all = vec![self.pid];
        all.extend(below.iter().map(|(pid, _)| *pid));
        pids::send("KILL", &all)?;
        let gone = wait::until(KILL_LIMIT, || {
            !self.is_running()
                && !below
                    .iter()
                    .any(|(pid, ticks)| pids::is_running(*pid, *ticks))
        });
        if !gone {
            bail!("process {} is still there after SIGKILL", self.pid);
        }
        Ok(())
    }

    /// Sends a signal to it and to every process below it.
    pub fn signal_all(&self, signal: &str) -> Result<()> {
        let mut all = vec![self.pid];
        all.extend(pids::descendants(self.pid));
        pids::send(signal, &all)
    }
}

/// The end of a log, for an error message.
pub fn log_tail(log: &Path) -> String {
    const LINES: usize = 12;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
