//! `trackops watch`: prints every live update of some orders, a line each, without gap or repeat even if
//! connections are lost. Leaves the order of versions to [`progress`], and the wire to [`connection`].

mod connection;
mod line;
mod message;
mod progress;

use std::process::ExitCode;
use std::time::Duration;

use rand::RngExt as _;
use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::client::{Ask, Client};
use super::client_args::WatchArgs;
use super::failure::CliError;
use super::output::Output;
use connection::{Ended, Stop, TrackConnection};
use progress::Progress;

/// Ended by Ctrl-C: 128 + SIGINT, as shells count.
const EXIT_INTERRUPTED: u8 = 130;

/// The most orders that one command follows. All their subscriptions fit into a socket's smallest send
/// buffer, so sending them never waits for answers to be read.
const ORDERS_MAX: usize = 200;
/// The pause before the first new attempt; doubled for each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest pause between attempts: as long as a person waits for a restarted server. The number of
/// attempts has no limit, because the user decides when to stop.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// After a connection that lasted this long, the pauses start again with the first.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// What to follow and how to print it.
pub struct Watch {
    /// The orders, each with the version after which to start; `None` to start with the current state.
    pub orders: Vec<(Uuid, Option<u32>)>,
    /// Print one JSON object a line, as the server sent it.
    pub json: bool,
    /// End when every order is final.
    pub until_final: bool,
}

#[derive(Deserialize)]
struct Newest {
    items: Vec<NewestOrder>,
}

#[derive(Deserialize)]
struct NewestOrder {
    id: Uuid,
}

/// Follows the orders of `args`.
pub async fn watch(args: &WatchArgs, output: &mut Output) -> Result<ExitCode, CliError> {
    if args.ids.len() > ORDERS_MAX {
        let message = format!("at most {ORDERS_MAX} orders at once");
        return Err(CliError::Usage(message));
    }
    let client = Client::new(&args.target.url)?;
    let ids = if args.ids.is_empty() {
        vec![newest(&client).await?]
    } else {
        args.ids.clone()
    };
    let watch = Watch {
        orders: ids.into_iter().map(|id| (id, args.since)).collect(),
        json: args.json,
        until_final: args.until_final,
    };
    follow(&client, watch, output).await
}

/// Follows orders until Ctrl-C, or until all are final if `until_final` is set.
pub async fn follow(
    client: &Client,
    watch: Watch,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let mut interrupted = std::pin::pin!(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // If no handler can be installed, the system's own ends the process.
            std::future::pending::<()>().await;
        }
    });
    follow_until(client, watch, output, interrupted.as_mut()).await
}

async fn follow_until(
    client: &Client,
    watch: Watch,
    output: &mut Output,
    mut stop: Stop<'_>,
) -> Result<ExitCode, CliError> {
    let mut progress = Progress::new(watch.orders, watch.until_final);
    let mut notes = Notes::default();
    let mut backoff = BACKOFF_FIRST;
    let mut was_connected = false;
    loop {
        let connected = tokio::select! {
            connected = TrackConnection::open(client) => connected,
            () = &mut stop => return Ok(interrupted(watch.until_final)),
        };
        let lost = match connected {
            // If the first attempt fails, the address may be wrong, so the command ends.
            Err(error) if !was_connected => return Err(error),
            // The hint is left out: the server was running before, so the user knows what to start.
            Err(CliError::Unreachable { url, cause, .. }) => format!("can't reach {url}: {cause}"),
            Err(error) => error.to_string(),
            Ok(session) => {
                if was_connected {
                    notes.say("connected again");
                }
                was_connected = true;
                let since = Instant::now();
                let ended = session
                    .run(&mut progress, watch.json, output, stop.as_mut())
                    .await?;
                if since.elapsed() >= GOOD_FOR {
                    backoff = BACKOFF_FIRST;
                }
                match ended {
                    Ended::Finished if progress.failed() => return Ok(ExitCode::FAILURE),
                    Ended::Finished => return Ok(ExitCode::SUCCESS),
                    Ended::Interrupted => return Ok(interrupted(watch.until_final)),
                    Ended::Lost(cause) => cause,
                }
            }
        };
        notes.say(&format!("{lost}; trying again"));
        // Random, so that the clients of a stopped server don't all come back at once.
        let pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::select! {
            () = sleep(pause) => {}
            () = &mut stop => return Ok(interrupted(watch.until_final)),
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

fn interrupted(until_final: bool) -> ExitCode {
    // A script that waits for the end must not take Ctrl-C for it.
    if until_final {
        ExitCode::from(EXIT_INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints remarks on standard error, none twice in a row.
#[derive(Default)]
struct Notes {
    last: String,
}

impl Notes {
    fn say(&mut self, note: &str) {
        if self.last != note {
            eprintln!("trackops: {}", note.replace('\n', " "));
            note.clone_into(&mut self.last);
        }
    }
}

async fn newest(client: &Client) -> Result<Uuid, CliError> {
    let mut url = client.url(&["api", "v1", "orders"]);
    url.query_pairs_mut().append_pair("limit", "1");
    let answer = client.ask(Method::GET, url, Ask::default()).await?;
    let newest: Newest = answer.json()?;
    newest.items.first().map(|order| order.id).ok_or_else(|| {
        let message = "there is no order yet: place one with `trackops place`";
        CliError::Nothing(message.into())
    })
}

#[cfg(test)]
mod tests;
