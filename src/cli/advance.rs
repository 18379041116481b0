//! `trackops advance`: an order's next step.

use reqwest::Method;
use serde_json::json;
use trackops_domain::status::Status;

use super::client::{Ask, Client};
use super::client_args::AdvanceArgs;
use super::failure::CliError;
use super::output::Output;
use super::show;
use crate::codec::view::OrderView;

/// Takes the named step, or the next one.
pub async fn advance(args: &AdvanceArgs, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&args.target.url)?;
    let (status, if_match) = if let Some(status) = args.status {
        (status, None)
    } else {
        let answer = show::get(&client, args.id).await?;
        let view: OrderView = answer.json()?;
        // The `ETag` makes sure that the order hasn't changed: two of these commands at once must not take
        // two steps.
        (next_step(&view)?, answer.etag())
    };
    let ask = Ask {
        body: Some(json!({"status": status.as_str()}).to_string().into_bytes()),
        key: args.key.clone(),
        if_match,
    };
    let id = args.id.to_string();
    let url = client.url(&["api", "v1", "orders", &id, "status"]);
    let answer = client.ask(Method::PUT, url, ask).await?;
    show::print_changed(&answer, args.json, output)
}

fn next_step(view: &OrderView) -> Result<Status, CliError> {
    let Some(current) = Status::parse(&view.status) else {
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
