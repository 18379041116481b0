//! `trackops dead-letters`: what consumers could not handle, listed, shown and sent again.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use super::client::{Ask, Client};
use super::client_args::{DeadLetterAction, DeadLetterId, DeadLettersArgs};
use super::failure::CliError;
use super::output::Output;
use super::text::{printable, table};

#[derive(Deserialize)]
struct Letters {
    items: Vec<Letter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    id: String,
    key: Option<String>,
    reason: String,
    parked_at: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    payload: Option<String>,
}

/// Does what `args` says with the dead letters of one management address.
pub async fn dead_letters(args: &DeadLettersArgs, output: &mut Output) -> Result<(), CliError> {
    let client = Client::management(&args.management_url)?;
    match &args.action {
        None => list(&client, None, 50, args.json, output).await,
        Some(DeadLetterAction::List { topic, limit }) => {
            list(&client, topic.as_deref(), *limit, args.json, output).await
        }
        Some(DeadLetterAction::Show { id }) => {
            let answer = client
                .ask(Method::GET, url(&client, id, None), Ask::default())
                .await?;
            if args.json {
                return output.line(&answer.json_line()?);
            }
            output.text(&render(&answer.json()?))
        }
        Some(DeadLetterAction::Resend { id }) => {
            let url = url(&client, id, Some("send"));
            let answer = client.ask(Method::POST, url, Ask::default()).await?;
            if args.json {
                return output.line(&answer.json_line()?);
            }
            output.line(&format!("sent to {} again", id.topic))
        }
    }
}

async fn list(
    client: &Client,
    topic: Option<&str>,
    limit: u32,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut url = client.url(&["admin", "v1", "dead-letters"]);
    url.query_pairs_mut()
        .append_pair("limit", &limit.to_string())
        .extend_pairs(topic.map(|topic| ("topic", topic)));
    let answer = client.ask(Method::GET, url, Ask::default()).await?;
    if json {
        return output.line(&answer.json_line()?);
    }
    let letters: Letters = answer.json()?;
    if letters.items.is_empty() {
        return output.line("no dead letters");
    }
    for letter in &letters.items {
        let key = letter.key.as_deref().unwrap_or("-");
        let line = format!(
            "{}  {}  {key}  {}",
            letter.id, letter.parked_at, letter.reason
        );
        output.line(&printable(&line))?;
    }
    Ok(())
}

fn url(client: &Client, id: &DeadLetterId, action: Option<&str>) -> reqwest::Url {
    let (partition, offset) = (id.partition.to_string(), id.offset.to_string());
    let mut segments = vec![
        "admin",
        "v1",
        "dead-letters",
        &id.topic,
        &partition,
        &offset,
    ];
    segments.extend(action);
    client.url(&segments)
}

fn render(letter: &Letter) -> String {
    let mut rows = vec![
        ("letter", letter.id.clone()),
        ("parked", letter.parked_at.clone()),
        ("reason", letter.reason.clone()),
        ("key", letter.key.clone().unwrap_or_else(|| "-".into())),
    ];
    for (name, value) in &letter.headers {
        rows.push(("header", format!("{name}: {value}")));
    }
    let value = letter.payload.clone();
    rows.push(("value", value.unwrap_or_else(|| "none".into())));
    table(&rows, 7)
}
