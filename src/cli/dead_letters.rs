//! `trackops dead-letters`: what consumers could not handle, listed, shown and sent again.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use super::client::{Ask, Client};
use super::client_args::{DeadLetterAction, DeadLetterId, DeadLettersArgs};
use super::failure::CliError;
use super::output::Output;
use super::text::{printable, table};

/// Dead letters of one request: the server returns no more.
const PAGE_MAX: u32 = 200;

/// The most pages of one listing: a server whose list never ends must not keep the command running for ever.
const PAGES_MAX: u32 = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letters {
    items: Vec<Letter>,
    #[serde(default)]
    next_cursor: Option<String>,
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

/// Lists, shows or resends dead letters of one management address, as `args` says.
pub async fn dead_letters(args: &DeadLettersArgs, output: &mut Output) -> Result<(), CliError> {
    let client = Client::management(&args.management_url)?;
    match &args.action {
        None => list(&client, None, None, args.json, output).await,
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

/// Prints each page as it comes; in JSON, one page a line.
async fn list(
    client: &Client,
    topic: Option<&str>,
    limit: Option<u32>,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut cursor = None;
    for page in 0..PAGES_MAX {
        let mut url = client.url(&["admin", "v1", "dead-letters"]);
        url.query_pairs_mut()
            .append_pair("limit", &left.min(PAGE_MAX).to_string())
            .extend_pairs(topic.map(|topic| ("topic", topic)))
            .extend_pairs(cursor.map(|cursor: String| ("cursor", cursor)));
        let answer = client.ask(Method::GET, url, Ask::default()).await?;
        let letters: Letters = answer.json()?;
        if json {
            output.line(&answer.json_line()?)?;
        } else if page == 0 && letters.items.is_empty() && letters.next_cursor.is_none() {
            return output.line("no dead letters");
        } else {
            print(&letters.items, output)?;
        }
        let count = u32::try_from(letters.items.len()).unwrap_or(u32::MAX);
        left = left.saturating_sub(count);
        cursor = letters.next_cursor;
        if left == 0 || cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn print(letters: &[Letter], output: &mut Output) -> Result<(), CliError> {
    for letter in letters {
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
