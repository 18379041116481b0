//! `trackops place`: an order from flags or from raw JSON.

use std::io::Read as _;
use std::process::ExitCode;

use trackops_client::{OrderView, WriteOptions};

use super::failure::CliError;
use super::output::Output;
use super::place_args::PlaceArgs;
use super::program;
use super::server::Server;
use super::target::DEFAULT_URL;
use super::text::{json_line, money, printable};
use super::watch::{Watch, follow};

/// Places an order, and follows it if `--watch` is set.
pub async fn place(args: &PlaceArgs, output: &mut Output) -> Result<ExitCode, CliError> {
    let server = Server::orders(&args.target)?;
    let options = WriteOptions::maybe_keyed(args.key.clone());
    let placing = server.client.place_json(body(args)?, options);
    let answer = server.ask(placing).await?;
    let view = &answer.value;
    if args.json {
        output.line(&json_line(answer.body()))?;
    } else if args.quiet {
        output.line(&view.id.to_string())?;
    } else {
        let replayed = if answer.is_replay() {
            ": placed before with this key"
        } else {
            ""
        };
        output.text(&format!(
            "order   {}{replayed}\nstatus  {} (version {})\ntotal   {}\n",
            view.id,
            view.status,
            view.version,
            money(view.total_amount, &view.content.currency),
        ))?;
        if let Some(link) = &view.tracking_url {
            output.line(&format!("link    {}", printable(link)))?;
        }
        if !args.watch {
            output.line(&format!(
                "watch   {}",
                watch_command(server.client.url(), args, view)
            ))?;
        }
    }
    if !args.watch {
        return Ok(ExitCode::SUCCESS);
    }
    let watch = Watch {
        orders: vec![(view.id, Some(0))],
        json: args.json,
        until_final: true,
    };
    follow(&server, watch, output).await
}

/// The command that watches the order; a password in the URL isn't repeated.
fn watch_command(url: &str, args: &PlaceArgs, view: &OrderView) -> String {
    let target = if args.target.url == DEFAULT_URL {
        String::new()
    } else {
        format!(" --url {}", program::quoted(url))
    };
    format!("{} watch {} --since 0{target}", program::path(), view.id)
}

fn body(args: &PlaceArgs) -> Result<Vec<u8>, CliError> {
    let Some(name) = &args.body else {
        // Writing plain structs to memory has no way to fail.
        return Ok(serde_json::to_vec(&args.content()).unwrap_or_default());
    };
    let mut body = Vec::new();
    let read = if name == "-" {
        std::io::stdin().lock().read_to_end(&mut body)
    } else {
        std::fs::File::open(name).and_then(|mut file| file.read_to_end(&mut body))
    };
    read.map(|_| body).map_err(|source| CliError::Input {
        name: name.clone(),
        source,
    })
}
