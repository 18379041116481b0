//! The `trackops` binary: arguments in, exit code out.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use trackops::cli::args::{Cli, Command, Role};
use trackops::{app, cli};

/// Gives memory of stopped actors back to the system, where the default allocator keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What still blocks a thread when all is done (a slow name service, say) is left behind.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let command = Cli::parse().command;
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("can't start")),
    };
    let code = runtime.block_on(run(command));
    runtime.shutdown_timeout(LEAVE_AFTER);
    code
}

/// As many sockets as the system lets us have: every watcher is one.
fn raise_file_limit() {
    // A refusal leaves the limit as it was, which is enough to begin with.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

async fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Client(client) => {
            return cli::run(client).await.unwrap_or_else(|error| {
                eprintln!("{}", error.report());
                ExitCode::from(error.exit_code())
            });
        }
        Command::Dev(args) => app::run_dev(args).await,
        Command::Order(args) => app::run_role(Role::Order, args).await,
        Command::Inventory(args) => app::run_role(Role::Inventory, args).await,
        Command::Relay(args) => app::run_role(Role::Relay, args).await,
        Command::Migrate(args) => app::migrate(&args).await,
        Command::Prune(args) => app::prune(args).await,
        Command::Keys(args) => app::keys(args).await,
        Command::Config(args) => cli::print_config(&args).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// One line: what failed, and every cause below it that says something new.
fn failed(error: &anyhow::Error) -> ExitCode {
    let line = format!("{error:#}");
    let words: Vec<&str> = line.split_whitespace().collect();
    eprintln!("trackops: {}", words.join(" "));
    ExitCode::FAILURE
}
