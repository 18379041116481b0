//! The command line: its syntax, and the client commands. These use nothing of the server but its REST and
//! WebSocket interface.

mod advance;
pub mod args;
pub mod banner;
mod cancel;
pub mod client_args;
mod days;
mod dead_letters;
pub mod failure;
pub mod keys_args;
mod output;
#[cfg(test)]
mod parsing_tests;
mod place;
pub mod place_args;
mod problem;
mod program;
mod server;
mod show;
pub mod target;
mod text;
mod watch;

use std::process::ExitCode;

use args::ConfigArgs;
use client_args::ClientCommand;
use failure::CliError;
use output::Output;

use crate::config::{Config, ConfigError, Flags};

/// Runs a client command, printing to standard output. The reader of the output may close it at any time;
/// then the command ends, which is no failure.
pub async fn run(command: ClientCommand) -> Result<ExitCode, CliError> {
    let mut output = Output::stdout();
    match dispatch(command, &mut output).await {
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        outcome => outcome,
    }
}

/// Prints the configuration in force, secrets masked, and names unknown variables in comments.
pub fn print_config(args: &ConfigArgs) -> Result<(), ConfigError> {
    let flags = Flags {
        is_strict: args.strict,
        ..Flags::default()
    };
    let config = Config::load(args.config.as_deref(), &flags)?;
    let mut shown = config.show();
    for misspelt in &config.misspelt {
        shown.extend(["# ", &misspelt.to_string(), "\n"]);
    }
    // An error means that nobody reads the output any more; then there is nothing to do.
    let _ = Output::stdout().text(&shown);
    Ok(())
}

async fn dispatch(command: ClientCommand, output: &mut Output) -> Result<ExitCode, CliError> {
    match command {
        ClientCommand::Place(args) => return place::place(&args, output).await,
        ClientCommand::Watch(args) => return watch::watch(&args, output).await,
        ClientCommand::Show(args) => show::show(&args, output).await?,
        ClientCommand::Advance(args) => advance::advance(&args, output).await?,
        ClientCommand::Cancel(args) => cancel::cancel(&args, output).await?,
        ClientCommand::DeadLetters(args) => dead_letters::dead_letters(&args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}
