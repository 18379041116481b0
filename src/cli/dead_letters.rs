//! `trackops dead-letters`: what consumers could not handle, listed, shown and sent again.

use trackops_client::{Admin, DeadLetter, PageRequest};

use super::client_args::{DeadLetterAction, DeadLettersArgs};
use super::failure::CliError;
use super::output::Output;
use super::server::Server;
use super::text::{json_line, printable, table};

/// Dead letters of one request: the server returns no more.
const PAGE_MAX: u32 = 200;

/// The most pages of one listing: a server whose list never ends must not keep the command running for ever.
const PAGES_MAX: u32 = 10_000;

/// Lists, shows or resends dead letters of one management address, as `args` says.
pub async fn dead_letters(args: &DeadLettersArgs, output: &mut Output) -> Result<(), CliError> {
    let server = Server::management(&args.management_url, &args.trust, &args.credential)?;
    match &args.action {
        None => list(&server, None, None, args.json, output).await,
        Some(DeadLetterAction::List { topic, limit }) => {
            list(&server, topic.as_deref(), *limit, args.json, output).await
        }
        Some(DeadLetterAction::Show { id }) => {
            let answer = server.ask(server.client.dead_letter(id)).await?;
            if args.json {
                return output.line(&json_line(answer.body()));
            }
            output.text(&render(&answer.value))
        }
        Some(DeadLetterAction::Resend { id }) => {
            let answer = server.ask(server.client.resend_dead_letter(id)).await?;
            if args.json {
                return output.line(&json_line(answer.body()));
            }
            output.line(&format!("sent to {} again", id.topic))
        }
    }
}

/// Prints each page as it comes; in JSON, one page a line.
async fn list(
    server: &Server<Admin>,
    topic: Option<&str>,
    limit: Option<u32>,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut cursor = None;
    for page in 0..PAGES_MAX {
        let request = PageRequest {
            limit: Some(left.min(PAGE_MAX)),
            cursor,
        };
        let answer = server
            .ask(server.client.dead_letters(topic, &request))
            .await?;
        let letters = &answer.value;
        if json {
            output.line(&json_line(answer.body()))?;
        } else if page == 0 && letters.items.is_empty() && letters.next_cursor.is_none() {
            return output.line("no dead letters");
        } else {
            print(&letters.items, output)?;
        }
        let count = u32::try_from(letters.items.len()).unwrap_or(u32::MAX);
        left = left.saturating_sub(count);
        cursor = answer.value.next_cursor;
        if left == 0 || cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn print(letters: &[DeadLetter], output: &mut Output) -> Result<(), CliError> {
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

fn render(letter: &DeadLetter) -> String {
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
