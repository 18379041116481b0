//! One process of the real binary: started, asked, signalled, killed, started again.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait::{LONG, until, within};

/// How many lines of a log a failed test shows.
const LOG_LINES_SHOWN: usize = 60;

/// How to start a process.
#[derive(Clone)]
pub struct Launch {
    /// For messages and the log's name.
    pub name: String,
    /// Arguments of the binary.
    pub arguments: Vec<String>,
    /// The environment besides the one inherited, which is rid of every `TRACKOPS_…`.
    pub environment: Vec<(String, String)>,
    /// Where its output goes.
    pub folder: PathBuf,
    /// Base URL of what answers `/readyz`.
    pub management: String,
}

/// A process that may be running; killed when dropped.
pub struct Role {
    /// How it is started again.
    pub launch: Launch,
    child: Option<Child>,
}

impl Role {
    /// Starts it without waiting for anything.
    pub fn spawn(launch: Launch) -> Self {
        Self::spawn_with(launch, None)
    }

    /// The same with `TRACKOPS_FAULT`.
    pub fn spawn_with(launch: Launch, fault: Option<&str>) -> Self {
        let mut role = Self {
            launch,
            child: None,
        };
        role.respawn(fault);
        role
    }

    /// Starts it and waits until it is ready.
    pub async fn start(launch: Launch) -> Self {
        let mut role = Self::spawn(launch);
        role.ready().await;
        role
    }

    /// Starts it again, with `TRACKOPS_FAULT` or without, without waiting for anything.
    pub fn respawn(&mut self, fault: Option<&str>) {
        assert!(!self.is_running(), "{} still runs", self.launch.name);
        let open = || {
            let log = self.log_path();
            File::options().create(true).append(true).open(log)
        };
        let output = open().expect("open the log");
        let mut command = Command::new("sh");
        // Past a limit to the size of files, as a test may set it, a write fails; the signal that would end
        // the process is ignored, which it inherits.
        command.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]);
        command.arg(super::environment::program());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRACKOPS_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(&self.launch.arguments)
            .env("TRACKOPS_AUTH", "open")
            .envs(self.launch.environment.iter().cloned())
            .envs(fault.map(|fault| ("TRACKOPS_FAULT", fault)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("share the log"))
            .stderr(output)
            .spawn()
            .expect("start the binary");
        self.child = Some(child);
    }

    /// Starts it again and waits until it is ready.
    pub async fn restart(&mut self, fault: Option<&str>) {
        self.respawn(fault);
        self.ready().await;
    }

    /// Waits until `/readyz` answers 200.
    pub async fn ready(&mut self) {
        let url = format!("{}/readyz", self.launch.management);
        let http = reqwest::Client::new();
        let mut last = String::from("no answer");
        let start = tokio::time::Instant::now();
        loop {
            if let Some(status) = self.exited() {
                panic!("{} ended: {status}{}", self.launch.name, self.log_end());
            }
            match http.get(&url).timeout(Duration::from_secs(5)).send().await {
                Ok(answer) if answer.status() == 200 => return,
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(_) => {}
            }
            assert!(
                start.elapsed() < LONG,
                "{} isn't ready after {LONG:?}: {last}{}",
                self.launch.name,
                self.log_end()
            );
            // Another process can't signal us.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which is as good.
            let _ = child.kill();
            child.wait().expect("wait for a killed process");
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal by its name, e.g. `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid();
        // Signals need `unsafe` or a crate; a shell has them built in.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .expect("run a shell");
        assert!(sent.success(), "kill -{name} {pid}: {sent}");
    }

    /// Stops it as SIGSTOP does, and returns when every thread of it stands still: until then it may
    /// still take a request and answer it.
    pub async fn stand_still(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.pid());
        until("every thread is stopped", || async {
            let mut threads = fs::read_dir(&tasks).expect("it runs");
            threads.all(|thread| is_stopped(&thread)).then_some(())
        })
        .await;
    }

    /// Waits until it ends by itself; `None` if it still runs after `limit`.
    pub async fn exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("it was started");
        let exited = std::cell::RefCell::new(child);
        let status = within(limit, || async {
            exited.borrow_mut().try_wait().expect("ask for its end")
        })
        .await;
        if status.is_some() {
            self.child = None;
        }
        status
    }

    /// The status with which it has ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        child.try_wait().expect("ask for its end")
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.is_some() && self.exited().is_none()
    }

    /// Everything that it has written so far, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until its log has `text`.
    pub async fn says(&self, text: &str) {
        let what = format!("{} says {text:?}", self.launch.name);
        until(&what, || async { self.log().contains(text).then_some(()) }).await;
    }

    fn log_path(&self) -> PathBuf {
        self.launch.folder.join(format!("{}.log", self.launch.name))
    }

    fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
        format!("\n--- the end of {}:\n  {end}", self.log_path().display())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log_end());
        }
    }
}

/// Whether the kernel shows this thread as stopped: the field behind the name, which ends with `)`.
fn is_stopped(thread: &std::io::Result<fs::DirEntry>) -> bool {
    let stat = thread.as_ref().map(|thread| thread.path().join("stat"));
    match stat.map(fs::read_to_string) {
        Ok(Ok(stat)) => stat.contains(") T "),
        // A thread that has ended meanwhile does nothing any more.
        _ => true,
    }
}
