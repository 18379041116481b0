//! `trackops watch`: prints every live update of some orders, a line each, without gap or repeat even if
//! connections are lost. Leaves connections and the order of versions to `trackops_client`.

mod line;
#[cfg(test)]
mod parsing_tests;

use std::pin::Pin;
use std::process::ExitCode;

use trackops_client::live::{LiveEvent, LiveMessage, LiveStream, ORDERS_MAX};
use trackops_client::{Client, OrderFilter, PageRequest};
use uuid::Uuid;

use super::client_args::WatchArgs;
use super::failure::CliError;
use super::output::Output;
use super::problem::cleaned;
use super::server::{Server, failure};
use super::text::printable;
use line::line;

/// Ended by Ctrl-C: 128 + SIGINT, as shells count.
const EXIT_INTERRUPTED: u8 = 130;

/// Ctrl-C, or its stand-in in a test.
type Stop<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// What to follow and how to print it.
pub struct Watch {
    /// The orders, each with the version after which to start; `None` to start with the current state.
    pub orders: Vec<(Uuid, Option<u32>)>,
    /// Print one JSON object a line, as the server sent it.
    pub json: bool,
    /// End when every order is final.
    pub until_final: bool,
}

/// Follows the orders of `args`.
pub async fn watch(args: &WatchArgs, output: &mut Output) -> Result<ExitCode, CliError> {
    if args.ids.len() > ORDERS_MAX {
        let message = format!("at most {ORDERS_MAX} orders at once");
        return Err(CliError::Usage(message));
    }
    let server = Server::orders(&args.target)?;
    let ids = if args.ids.is_empty() {
        vec![newest(&server).await?]
    } else {
        args.ids.clone()
    };
    let watch = Watch {
        orders: ids.into_iter().map(|id| (id, args.since)).collect(),
        json: args.json,
        until_final: args.until_final,
    };
    follow(&server, watch, output).await
}

/// Follows orders until Ctrl-C, or until all are final if `until_final` is set.
pub async fn follow(
    server: &Server<Client>,
    watch: Watch,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let mut interrupted = std::pin::pin!(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // If no handler can be installed, the system's own ends the process.
            std::future::pending::<()>().await;
        }
    });
    follow_until(server, watch, output, interrupted.as_mut()).await
}

async fn follow_until(
    server: &Server<Client>,
    watch: Watch,
    output: &mut Output,
    mut stop: Stop<'_>,
) -> Result<ExitCode, CliError> {
    let live = server.client.live().until_final(watch.until_final);
    let orders = watch.orders.into_iter();
    let live = orders.fold(live, |live, (id, since)| live.order(id, since));
    let mut stream = tokio::select! {
        // If the first attempt fails, the address may be wrong, so the command ends.
        connected = server.ask(live.connect()) => connected?,
        () = &mut stop => return Ok(interrupted(watch.until_final)),
    };
    let mut printer = Printer {
        output,
        json: watch.json,
        last_note: String::new(),
        has_failed: false,
    };
    tokio::select! {
        ended = printer.print_all(&mut stream) => ended?,
        () = &mut stop => {
            stream.close().await;
            return Ok(interrupted(watch.until_final));
        }
    }
    Ok(if printer.has_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn interrupted(until_final: bool) -> ExitCode {
    // A script that waits for the end must not take Ctrl-C for it.
    if until_final {
        ExitCode::from(EXIT_INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints messages on standard output, and remarks on standard error.
struct Printer<'a> {
    output: &'a mut Output,
    json: bool,
    last_note: String,
    /// Whether some order could not be followed.
    has_failed: bool,
}

impl Printer<'_> {
    /// Prints events until there are no more.
    async fn print_all(&mut self, stream: &mut LiveStream) -> Result<(), CliError> {
        while let Some(event) = stream.next().await {
            match event.map_err(failure)? {
                LiveEvent::Message { message, frame } => self.print(&message, &frame)?,
                LiveEvent::Refused { problem, .. } => {
                    self.has_failed = true;
                    let problem = Box::new(cleaned(*problem));
                    eprintln!("{}", CliError::Refused(problem).report());
                }
                LiveEvent::Lost { cause } => {
                    self.note(&format!("{}; trying again", printable(&cause)));
                }
                LiveEvent::StillLost(error) => {
                    let error = match failure(error) {
                        // The hint is left out: the server was running before, so the user knows what to start.
                        CliError::Unreachable { url, cause, .. } => {
                            format!("can't reach {url}: {cause}")
                        }
                        other => other.to_string(),
                    };
                    self.note(&format!("{error}; trying again"));
                }
                LiveEvent::Reconnected => self.note("connected again"),
            }
        }
        Ok(())
    }

    fn print(&mut self, message: &LiveMessage, frame: &str) -> Result<(), CliError> {
        if !self.json {
            return line(message).map_or(Ok(()), |line| self.output.line(&line));
        }
        if !frame.contains(['\n', '\r']) {
            return self.output.line(frame);
        }
        // JSON has line breaks only between tokens, where a space means the same.
        self.output.line(&frame.replace(['\n', '\r'], " "))
    }

    /// Prints a remark, none twice in a row.
    fn note(&mut self, note: &str) {
        if self.last_note != note {
            eprintln!("trackops: {}", note.replace('\n', " "));
            note.clone_into(&mut self.last_note);
        }
    }
}

async fn newest(server: &Server<Client>) -> Result<Uuid, CliError> {
    let (all, one) = (OrderFilter::default(), PageRequest::first(1));
    let newest = server.ask(server.client.orders(&all, &one)).await?;
    newest
        .value
        .items
        .first()
        .map(|order| order.id)
        .ok_or_else(|| {
            let message = "there is no order yet: place one with `trackops place`";
            CliError::Nothing(message.into())
        })
}

#[cfg(test)]
mod tests;
