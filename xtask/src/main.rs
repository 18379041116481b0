//! `cargo xtask`: what a developer and CI run. Says what there is, and dispatches.

mod bench;
mod cargo;
mod cluster;
mod debian;
mod dev;
mod need;
mod services;
mod stages;
mod test;
mod testbed;
mod tidy;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask dev [args]            build, then become `trackops dev --demo [args]`
cargo xtask test                  everything, with real servers
cargo xtask test NAME...          only tests that have a NAME in their path, with real servers
cargo xtask test --quick [NAME...]
                                  what needs no servers, with formatting and text checks, in a few minutes
cargo xtask test --tls            a build with the feature `tls`, on servers with certificates
cargo xtask test --contract       other people's tools on the documents of the API and a running server
cargo xtask test -- args          everything; args go to `cargo test`
cargo xtask tidy                  formatting, lints, import table, headers, sizes
cargo xtask bench [what] [options]
                                  place, lifecycle, push, memory, cluster, embedded, whole, sustained,
                                  soak, or all but the last two; limits (needs no servers, takes no options)
    --before PATH                 whole, sustained: another release build of trackops, in turns with this
    --rates 200,1000,3000         whole: orders a second
    --seconds 11                  whole: how long each rate is measured
    --minutes 10                  sustained: how long each of its two parts takes; soak: how long it takes
    --quick                       short runs that show that everything works
cargo xtask soak [--hours 1]      bench soak: the whole system under load, its memory and descriptors watched
cargo xtask cluster up [--replicas 3] [--listen 127.0.0.1:8080]
                                  order replicas on the services below, with a proxy in front
cargo xtask cluster down          stops what is left of it
cargo xtask services up|down|status
                                  PostgreSQL, Redis and Kafka on loopback, to keep";

fn main() -> ExitCode {
    if !cfg!(target_os = "linux") {
        eprintln!(
            "this is not Linux: nobody has tried it here. `cargo xtask dev`, `test --quick` and `tidy` need nothing \
             of it; the servers, the cluster and the benchmarks read /proc"
        );
    }
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["dev", rest @ ..] => dev::run(rest),
        ["test", rest @ ..] => test::run(rest),
        ["tidy"] => tidy::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["soak", rest @ ..] => bench::run(&[&["soak"], rest].concat()),
        ["cluster", rest @ ..] => cluster::run(rest),
        ["services", "up"] => services::up(),
        ["services", "down"] => services::down(),
        ["services", "status"] => services::status(),
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no such command: {}\n{USAGE}", other.join(" ")),
    }
}
