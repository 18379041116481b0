//! `trackops advance`: an order's next step.

use trackops_client::{OrderView, WriteOptions};
use trackops_domain::status::Status;

use super::client_args::AdvanceArgs;
use super::failure::CliError;
use super::output::Output;
use super::server::Server;
use super::show;

/// Takes the named step, or the next one.
pub async fn advance(args: &AdvanceArgs, output: &mut Output) -> Result<(), CliError> {
    let server = Server::orders(&args.target)?;
    let client = &server.client;
    let mut options = WriteOptions::maybe_keyed(args.key.clone());
    let status = if let Some(status) = args.status {
        status
    } else {
        let answer = server.ask(client.order(args.id)).await?;
        // The `ETag` makes sure that the order hasn't changed: two of these commands at once must not take
        // two steps.
        if let Some(tag) = answer.etag() {
            options = options.if_match(tag.clone());
        }
        next_step(&answer.value)?
    };
    let status = status.as_str().into();
    let advanced = match &args.courier {
        Some(courier) => {
            let step = client.advance_with_courier(args.id, &status, courier, options);
            server.ask(step).await?
        }
        None => {
            server
                .ask(client.advance(args.id, &status, options))
                .await?
        }
    };
    show::print_changed(&advanced, args.json, output)
}

fn next_step(view: &OrderView) -> Result<Status, CliError> {
    let Some(current) = Status::parse(view.status.as_str()) else {
        let message = format!("don't know what follows {}: name the status", view.status);
        return Err(CliError::Nothing(message));
    };
    let steps = current.client_steps();
    let next = steps.iter().find(|step| **step != Status::Cancelled);
    next.copied().ok_or_else(|| {
        CliError::Nothing(if current == Status::Pending {
            "the order is PENDING: the inventory confirms or rejects it".into()
        } else {
            format!("the order is {current}: that is final")
        })
    })
}
