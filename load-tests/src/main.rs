//! Load and latency against a running system, over the network only: nothing
//! here links `TrackOps`' crates, so nothing here can agree with them by mistake.
//!
//! One thread does everything: the generator shares the machine with what it
//! measures, and must not take more of it than it needs.

mod bench;
mod certificates;
mod http;
mod live;
mod load;
mod manual;
mod numbers;
mod order;
mod pgbench;
mod proxy;
mod report;
mod system;
#[cfg(test)]
mod test_server;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use self::bench::What;
use self::certificates::CertificateArguments;
use self::manual::LoadArguments;
use self::proxy::ProxyArguments;
use self::system::{Databases, Settings};

/// 10,000 sockets and the files of everything else, on both sides.
const OPEN_FILES: u64 = 65_536;

/// Load and latency of `TrackOps`, over the network.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a system of its own and measure it.
    ///
    /// Reads `TRACKOPS_BENCH_POSTGRES_URL` (a superuser's, without a database),
    /// `TRACKOPS_BENCH_REDIS_URL`, `TRACKOPS_BENCH_KAFKA_BROKERS`,
    /// `TRACKOPS_BENCH_BINARY` (a release build of trackops) and
    /// `TRACKOPS_BENCH_PGBENCH` (pgbench, unless it is in the search path).
    Bench(BenchArguments),
    /// Place orders on a system that runs already.
    Load(LoadArguments),
    /// Spread connections over the replicas of a cluster on this machine.
    Proxy(ProxyArguments),
    /// Make an authority, and a certificate for the links of each replica of a cluster on this machine.
    Certificates(CertificateArguments),
}

#[derive(Args)]
struct BenchArguments {
    /// What to measure.
    what: What,
    /// Short runs that show that everything works; the figures mean little.
    #[arg(long)]
    quick: bool,
    /// A rate counts as held while 99 of 100 answers come within so many ms.
    #[arg(long, default_value_t = 50.0)]
    p99_ms: f64,
    /// Where reports and logs go.
    #[arg(long, env = "TRACKOPS_BENCH_OUTPUT", default_value = "target/bench")]
    output: PathBuf,
    /// `whole`, `sustained`: measure this trackops too (a release build of an older version), in turns.
    #[arg(long, env = "TRACKOPS_BENCH_BEFORE", value_name = "PATH")]
    before: Option<PathBuf>,
    /// `whole`: orders a second, each measured in turn. Default: 200 to 6000 in seven steps.
    #[arg(long, env = "TRACKOPS_BENCH_RATES", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    rates: Vec<u32>,
    /// `whole`: how long each rate is measured. Default: 11.
    #[arg(long, env = "TRACKOPS_BENCH_SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// `sustained`: how long each of its parts takes. Default: 10. `soak`: how long it takes. Default: 60.
    #[arg(long, env = "TRACKOPS_BENCH_MINUTES", value_parser = minutes)]
    minutes: Option<f64>,
    /// The same in hours.
    #[arg(long, conflicts_with = "minutes", value_parser = hours)]
    hours: Option<f64>,
}

/// A few of the windows that `sustained` looks at.
const MINUTES_MIN: f64 = 0.1;
const HOURS_MAX: f64 = 72.0;

fn minutes(text: &str) -> Result<f64, String> {
    number(text, MINUTES_MIN..=HOURS_MAX * 60.0)
}

fn hours(text: &str) -> Result<f64, String> {
    number(text, MINUTES_MIN / 60.0..=HOURS_MAX)
}

fn number(text: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let is_well = range.contains(&number);
    is_well
        .then_some(number)
        .ok_or_else(|| format!("{} to {}", range.start(), range.end()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments = Arguments::parse();
    // Child processes inherit the limit. A lower one shows itself as a failed connection.
    if let Err(error) = rlimit::increase_nofile_limit(OPEN_FILES) {
        eprintln!("the limit of open files stays as it is: {error}");
    }
    match arguments.command {
        Command::Bench(arguments) => run_bench(arguments).await,
        Command::Load(arguments) => manual::run(&arguments).await,
        Command::Proxy(arguments) => proxy::run(arguments).await,
        Command::Certificates(arguments) => certificates::run(&arguments),
    }
}

/// Whatever ends the benchmarks, Ctrl-C too, the databases are dropped.
async fn run_bench(arguments: BenchArguments) -> Result<()> {
    let before = arguments.before.map(std::path::absolute).transpose()?;
    if let Some(path) = &before {
        anyhow::ensure!(path.is_file(), "--before: no file {}", path.display());
    }
    let mut settings = Settings::new(std::path::absolute(arguments.output)?);
    settings.quick = arguments.quick;
    settings.p99_ms = arguments.p99_ms;
    settings.before = before;
    settings.rates = arguments.rates;
    settings.seconds = arguments.seconds;
    settings.minutes = arguments
        .minutes
        .or(arguments.hours.map(|hours| hours * 60.0));
    let databases = Databases::default();
    let result = tokio::select! {
        result = bench::run(arguments.what, &settings, &databases) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let dropped = databases.drop_all(&settings).await;
    result.and(dropped)
}
