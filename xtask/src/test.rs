//! `cargo xtask test`: everything that has to hold before a change is good, the same here and in CI, or the
//! part of it that [`request`] reads from the arguments. Servers start while the tests compile.

mod contract;
mod deny;
mod report;
mod request;

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::servers::ensure_kafka_jars;

use crate::stages::Stages;
use crate::testbed::{self, Testbed, is_named, joined};
use crate::{cargo, need, tidy};
use report::Report;
use request::Request;

/// What names the servers of tests begins with this.
const PREFIX: &str = "TRACKOPS_TEST";

/// Runs every stage, also after one has failed, and ends with a table.
pub fn run(args: &[&str]) -> Result<()> {
    let request = Request::of(args)?;
    let start = Instant::now();
    let mut stages = Stages::default();
    let mut report = Report::default();
    if stages.run("compilers", need::compilers) {
        match request {
            Request::Quick(_) => without_servers(&request, &mut stages, &mut report),
            Request::Contract => {
                stages.run("contract tools", contract::run);
            }
            Request::Tls => with_tls(&request, &mut stages, &mut report),
            Request::Named(_) => with_servers(&request, &mut stages, &mut report),
            Request::Whole(_) => {
                with_servers(&request, &mut stages, &mut report);
                stages.run("contract tools", contract::run);
                // Last: what they compile, nothing else waits for.
                stages.run("clippy", tidy::run_clippy);
                stages.run("clippy with tls", tidy::run_clippy_tls);
                stages.run("doc", tidy::run_doc);
                deny::run(&mut stages);
            }
        }
    }
    report.print();
    stages.finish(start.elapsed())
}

fn with_servers(request: &Request<'_>, stages: &mut Stages, report: &mut Report) {
    let whole = matches!(request, Request::Whole(_));
    thread::scope(|scope| {
        let servers = scope.spawn(move || start_servers(whole));
        if whole {
            check_text(stages);
        }
        let compile = || cargo::run(&["test", "--workspace", "--no-run"]);
        let compiled = stages.run("compile", compile);
        match note_servers(stages, joined(servers)) {
            Some(servers) if compiled => {
                let name_servers = |command: &mut Command| {
                    command.envs(servers.variables.iter().map(|(name, value)| (name, value)));
                };
                stages.run("test", || run_tests(request, &name_servers, report));
                stages.run("stop servers", || {
                    drop(servers);
                    Ok(())
                });
            }
            _ => stages.skip("test"),
        }
    });
}

fn without_servers(request: &Request<'_>, stages: &mut Stages, report: &mut Report) {
    check_text(stages);
    // What needs a server then fails, also where the caller has some.
    let name_no_server = |command: &mut Command| {
        for server in testbed::SERVERS {
            command.env_remove(format!("{PREFIX}_{server}"));
        }
        command.env("TRACKOPS_SIM_RUNS", request::QUICK_SIM_RUNS);
    };
    let compile = || {
        cargo::run(&[
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--test",
            "it",
            "--no-run",
        ])
    };
    if stages.run("compile", compile) {
        stages.run("test", || run_tests(request, &name_no_server, report));
    } else {
        stages.skip("test");
    }
}

/// Its tests start servers of their own.
fn with_tls(request: &Request<'_>, stages: &mut Stages, report: &mut Report) {
    let prepared = stages.run("servers", || {
        need::servers()?;
        need::openssl()?;
        ensure_kafka_jars().map(drop)
    });
    if prepared {
        stages.run("test", || run_tests(request, &|_| {}, report));
    } else {
        stages.skip("test");
    }
}

fn check_text(stages: &mut Stages) {
    stages.run("tidy", tidy::run_text_checks);
    stages.run("fmt", tidy::run_fmt);
}

fn start_servers(whole: bool) -> Result<(Testbed, Duration)> {
    let start = Instant::now();
    need::test_servers(|server| is_named(&format!("{PREFIX}_{server}")), whole)?;
    // Once for all tests that start a Kafka of their own, also if a shared one is named.
    if whole && need::has_java() {
        ensure_kafka_jars()?;
    }
    let testbed = Testbed::start(PREFIX)?;
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

/// The tests of a whole run that would start servers of their own by programs that aren't here. All servers
/// are named then, so nobody is asked to install these programs.
fn skipped() -> Vec<&'static str> {
    let mut skipped = Vec::new();
    for program in need::lacking(|server| is_named(&format!("{PREFIX}_{server}"))) {
        let tests = request::own_servers(program);
        eprintln!(
            "no {program} here, so these are skipped: {}",
            tests.join(", ")
        );
        skipped.extend_from_slice(tests);
    }
    skipped
}

/// Every run of cargo that was asked for, also after one has failed.
fn run_tests(
    request: &Request<'_>,
    prepare: &dyn Fn(&mut Command),
    report: &mut Report,
) -> Result<()> {
    let mut passed = true;
    let skipped = match request {
        Request::Whole(_) => skipped(),
        _ => Vec::new(),
    };
    for args in request.runs(&skipped) {
        let mut command = match request {
            Request::Tls => cargo::with_tls(&args),
            _ => cargo::command(&args),
        };
        prepare(&mut command);
        passed &= run_shown(command, report)?;
    }
    if !passed {
        bail!("cargo test failed");
    }
    let names = request.names();
    if report.ran() == 0 && !names.is_empty() {
        bail!(
            "no test ran: none has {} in its path, or all are ignored",
            names.join(" or ")
        );
    }
    Ok(())
}

/// Runs tests with their output shown, and keeps cargo's summary lines; true if all passed.
fn run_shown(mut command: Command, report: &mut Report) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the output of cargo test")?;
        let mut screen = io::stdout().lock();
        screen.write_all(&line)?;
        screen.write_all(b"\n")?;
        report.read(&String::from_utf8_lossy(&line));
    }
    Ok(child.wait().context("wait for cargo test")?.success())
}
