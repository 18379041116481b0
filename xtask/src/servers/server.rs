//! The life of a server, the same for all of them: prepare, start, wait until it
//! answers, stop, kill, pause, start again on the same port and data.

use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::guard::Guard;
use super::process::{Process, log_tail};
use super::record::Record;
use super::{port, wait};

/// How long a start may take. It is generous: a machine that compiles on every core starts a JVM slowly.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// How long a clean stop may take, with a checkpoint or moved partitions; after that the server is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The parts of a server's life that differ between servers.
pub trait Launch {
    /// Its name for people.
    const NAME: &'static str;
    /// The signal that ends it cleanly.
    const STOP_SIGNAL: &'static str;
    /// The signal that ends it and its children at once, sent by the guard.
    const END_SIGNAL: &'static str = "KILL";

    /// Makes the data if there is none, and removes leftovers of a killed server.
    fn prepare(dir: &Path, port: u16) -> Result<()>;

    /// The command that becomes the server.
    fn command(dir: &Path, port: u16) -> Result<Command>;

    /// Whether it answers as it should.
    fn is_ready(port: u16) -> bool;

    /// The address for clients.
    fn url(port: u16) -> String;
}

/// A server that this process holds; dropping it kills it.
#[derive(Debug)]
pub struct Server<L: Launch> {
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
    guard: Option<Guard>,
    launch: PhantomData<fn() -> L>,
}

impl<L: Launch> Server<L> {
    /// Starts a server with its data in the folder, and returns when it answers.
    ///
    /// Port 0 means the last port of this folder's server if it is free, else any free one. A folder that has
    /// data is used again.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let port = if port == 0 { choose_port(&dir)? } else { port };
        let mut server = Self {
            dir,
            port,
            process: None,
            guard: None,
            launch: PhantomData,
        };
        server.launch()?;
        Ok(server)
    }

    /// The server that an earlier process started in the folder and left running.
    pub fn attach(dir: &Path) -> Option<Self> {
        let dir = dir.canonicalize().ok()?;
        let record = Record::read(&dir)?;
        let process = Some(Process::attach(record)?);
        Some(Self {
            dir,
            port: record.port,
            process,
            guard: None,
            launch: PhantomData,
        })
    }

    /// Leaves it running when this process ends; returns its port.
    pub fn detach(mut self) -> u16 {
        self.process = None;
        self.port
    }

    /// The address for clients: a URL, or for Kafka `host:port`.
    pub fn url(&self) -> String {
        L::url(self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with data and log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its main process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether it answers clients now.
    pub fn is_ready(&self) -> bool {
        L::is_ready(self.port)
    }

    /// Ends it cleanly, with nothing to recover at the next start.
    pub fn stop(&mut self) -> Result<()> {
        self.end(|process| process.stop(L::STOP_SIGNAL, STOP_LIMIT))
    }

    /// `kill -9` for it and every process below it. Also the fast way to end a server whose data isn't needed
    /// any more.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Process::kill)
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.signal_all("STOP")
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<()> {
        self.signal_all("CONT")
    }

    /// Starts it again on the same port and data, after a clean stop if it still runs.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    fn launch(&mut self) -> Result<()> {
        L::prepare(&self.dir, self.port).with_context(|| format!("prepare {}", L::NAME))?;
        let log = self.dir.join("log");
        let mut process = Process::spawn(&mut L::command(&self.dir, self.port)?, &log)?;
        self.guard = Some(Guard::over(process.pid(), L::END_SIGNAL)?);
        process.record(self.port).write(&self.dir)?;
        wait::until(READY_LIMIT, || {
            L::is_ready(self.port) || !process.is_running()
        });
        let up = process.is_running() && L::is_ready(self.port);
        self.process = Some(process);
        if !up {
            let tail = log_tail(&log);
            // The first error is the one to report.
            let _ = self.kill();
            bail!(
                "{} on port {} didn't start; {} ends:\n{tail}",
                L::NAME,
                self.port,
                log.display()
            );
        }
        Ok(())
    }

    fn end(&mut self, how: impl FnOnce(&mut Process) -> Result<()>) -> Result<()> {
        if let Some(process) = &mut self.process {
            how(process)?;
        }
        self.process = None;
        self.guard = None;
        Ok(())
    }

    fn signal_all(&self, signal: &str) -> Result<()> {
        let process = self.process.as_ref();
        process
            .with_context(|| format!("{} isn't running", L::NAME))?
            .signal_all(signal)
    }
}

impl<L: Launch> Drop for Server<L> {
    fn drop(&mut self) {
        // The guard is dropped after the server, also if this fails.
        let _ = self.kill();
    }
}

fn choose_port(dir: &Path) -> Result<u16> {
    match Record::read(dir) {
        Some(record) if port::is_free(record.port) => Ok(record.port),
        _ => port::free(),
    }
}
