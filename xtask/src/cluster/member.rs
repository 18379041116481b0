//! One process of the cluster: the script that starts it, the file with its process id, its log.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::http;

/// How many lines of a log are shown to explain a failed start.
const LOG_LINES_SHOWN: usize = 20;

/// The time between two looks at a process.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process of the cluster, with all that starting it needs.
pub struct Member {
    /// Its name for people and files; a replica's node id.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables besides the inherited environment.
    pub environment: Vec<(String, String)>,
    /// The public listener.
    pub public: String,
    /// Where `/readyz` is; `None` if the process has none.
    pub management: Option<String>,
    /// The cluster's folder.
    pub dir: PathBuf,
}

impl Member {
    /// Writes the script and runs it, in a group of its own that Ctrl-C doesn't reach.
    pub fn start(&self) -> Result<()> {
        let script = self.write_script()?;
        Command::new("sh")
            .arg(&script)
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        // The shell writes the process-id file before it becomes the program.
        let written = || self.pid().is_some();
        for _ in 0..100 {
            if written() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The script that starts it. It may hold a password of the servers, so nobody else may read it.
    pub fn write_script(&self) -> Result<PathBuf> {
        let path = script(&self.dir, &self.name);
        fs::write(&path, "").with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        fs::write(&path, self.script())?;
        Ok(path)
    }

    fn script(&self) -> String {
        let mut text = format!(
            "#!/bin/sh\n# Starts {} of the cluster that `cargo xtask cluster up` has set up.\n",
            self.name
        );
        for (name, value) in &self.environment {
            text.extend(["export ", name, "=", &quoted(value), "\n"]);
        }
        let file = |ending: &str| {
            let path = self.dir.join(format!("{}.{ending}", self.name));
            quoted(&path.display().to_string())
        };
        let command: Vec<String> = self.command.iter().map(|part| quoted(part)).collect();
        text.extend(["echo $$ > ", &file("pid"), "\n"]);
        text.extend(["exec ", &command.join(" "), " >> ", &file("log"), " 2>&1\n"]);
        text
    }

    /// Its process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        pid_of(&self.dir, &self.name)
    }

    /// Whether it takes requests.
    pub fn is_ready(&self) -> bool {
        match &self.management {
            Some(management) => http::get(management, "/readyz") == Some(200),
            None => std::net::TcpStream::connect(&self.public).is_ok(),
        }
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        let path = self.dir.join(format!("{}.log", self.name));
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// Where the script of `name` is.
pub fn script(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.sh"))
}

/// Every process of the cluster in `dir` that runs, also one that an earlier command started.
pub fn running(dir: &Path) -> Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(found);
    };
    for entry in entries {
        let path = entry?.path();
        let is_pid = path.extension().is_some_and(|ending| ending == "pid");
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(name) = name.filter(|_| is_pid) {
            found.extend(pid_of(dir, name).map(|pid| (name.to_owned(), pid)));
        }
    }
    found.sort();
    Ok(found)
}

/// The process that the file of `name` names, if it is still one of ours. The system may have given its
/// number to another process since.
pub fn pid_of(dir: &Path, name: &str) -> Option<u32> {
    let text = fs::read_to_string(dir.join(format!("{name}.pid"))).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    // The link of a zombie can't be read, and that of a program built anew has a suffix.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let program = program.file_name()?.to_str()?;
    let is_ours = program.starts_with("trackops") || is_script_of(pid, dir, name);
    is_ours.then_some(pid)
}

/// Whether the process is the start script's shell, before it becomes the program.
fn is_script_of(pid: u32, dir: &Path, name: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let script = script(dir, name).display().to_string();
    line.split(|byte| *byte == 0)
        .any(|part| part == script.as_bytes())
}

/// Sends a signal by its name; a process that has ended needs none.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Quotes `text` for a shell: in single quotes only the quote itself has a meaning.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let text = "it's $HOME `x` \"y\"\\";
        let said = Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(text))])
            .output()
            .expect("run a shell");
        assert_eq!(String::from_utf8_lossy(&said.stdout), text);
    }

    #[test]
    fn a_number_that_another_program_has_is_not_a_process_of_ours() {
        let dir = std::env::temp_dir().join(format!("trackops-pid-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let own_parent = std::os::unix::process::parent_id();
        fs::write(dir.join("order-a.pid"), format!("{own_parent}\n")).expect("a file");
        assert_eq!(pid_of(&dir, "order-a"), None);
        assert_eq!(pid_of(&dir, "order-b"), None);
        fs::remove_dir_all(&dir).expect("clean up");
    }
}
