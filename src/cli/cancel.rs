//! `trackops cancel`.

use reqwest::Method;
use serde_json::json;

use super::client::{Ask, Client};
use super::client_args::CancelArgs;
use super::failure::CliError;
use super::output::Output;
use super::show;

/// Cancels an order.
pub async fn cancel(args: &CancelArgs, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&args.target.url)?;
    let body = match &args.reason {
        Some(reason) => json!({"reason": reason}),
        None => json!({}),
    };
    let ask = Ask {
        body: Some(body.to_string().into_bytes()),
        key: args.key.clone(),
        if_match: None,
    };
    let id = args.id.to_string();
    let url = client.url(&["api", "v1", "orders", &id, "cancel"]);
    let answer = client.ask(Method::POST, url, ask).await?;
    show::print_changed(&answer, args.json, output)
}
