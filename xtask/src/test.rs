//! `cargo xtask test`: everything that has to hold before a change is good, the same
//! here and in CI. Servers start while the tests compile.

use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::stages::Stages;
use crate::testbed::{Testbed, joined};
use crate::{cargo, need, tidy};

/// Runs every stage, also after one has failed, and ends with a table.
pub fn run(args: &[&str]) -> Result<()> {
    let start = Instant::now();
    let mut stages = Stages::default();
    let mut summaries = Vec::new();
    if stages.run("compilers", need::compilers) {
        thread::scope(|scope| {
            let servers = scope.spawn(start_servers);
            stages.run("tidy", tidy::run_text_checks);
            stages.run("fmt", tidy::run_fmt);
            let compile = || cargo::run(&["test", "--workspace", "--no-run"]);
            let compiled = stages.run("compile", compile);
            let servers = note_servers(&mut stages, joined(servers));
            match servers {
                Some(servers) if compiled => {
                    stages.run("test", || run_tests(args, &servers, &mut summaries));
                    stages.run("stop servers", || {
                        drop(servers);
                        Ok(())
                    });
                }
                _ => stages.skip("test"),
            }
        });
        // Last: what it compiles, nothing else waits for.
        stages.run("clippy", tidy::run_clippy);
    }
    if !summaries.is_empty() {
        println!("\n{}", summaries.join("\n"));
    }
    stages.finish(start.elapsed())
}

fn start_servers() -> Result<(Testbed, Duration)> {
    let start = Instant::now();
    need::test_servers()?;
    let testbed = Testbed::start("TRACKOPS_TEST")?;
    Ok((testbed, start.elapsed()))
}

fn note_servers(stages: &mut Stages, started: Result<(Testbed, Duration)>) -> Option<Testbed> {
    match started {
        Ok((servers, took)) => {
            stages.note("servers (beside)", took, None);
            Some(servers)
        }
        Err(error) => {
            stages.note("servers (beside)", Duration::ZERO, Some(&error));
            None
        }
    }
}

/// Runs the tests with their output shown, and keeps cargo's summary lines.
fn run_tests(args: &[&str], servers: &Testbed, summaries: &mut Vec<String>) -> Result<()> {
    let mut command = cargo::command(&["test", "--workspace", "--no-fail-fast"]);
    command.args(args).stdout(Stdio::piped());
    command.envs(servers.variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().context("start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the output of cargo test")?;
        let mut screen = io::stdout().lock();
        screen.write_all(&line)?;
        screen.write_all(b"\n")?;
        let empty = line.starts_with(b"test result: ok. 0 passed; 0 failed; 0 ignored");
        if line.starts_with(b"test result:") && !empty {
            summaries.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    if !child.wait().context("wait for cargo test")?.success() {
        bail!("cargo test failed");
    }
    Ok(())
}
