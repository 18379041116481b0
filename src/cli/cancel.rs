//! `trackops cancel`.

use trackops_client::WriteOptions;

use super::client_args::CancelArgs;
use super::failure::CliError;
use super::output::Output;
use super::server::Server;
use super::show;

/// Cancels an order.
pub async fn cancel(args: &CancelArgs, output: &mut Output) -> Result<(), CliError> {
    let server = Server::orders(&args.target)?;
    let options = WriteOptions::maybe_keyed(args.key.clone());
    let cancelling = server
        .client
        .cancel(args.id, args.reason.as_deref(), options);
    let cancelled = server.ask(cancelling).await?;
    show::print_changed(&cancelled, args.json, output)
}
