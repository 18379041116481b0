//! `trackops place`: an order from flags or from raw JSON.

use std::io::Read as _;
use std::process::ExitCode;

use reqwest::Method;

use super::client::{Ask, Client};
use super::failure::CliError;
use super::output::Output;
use super::place_args::PlaceArgs;
use super::program;
use super::target::DEFAULT_URL;
use super::text::money;
use super::watch::{Watch, follow};
use crate::codec::view::OrderView;

/// Places an order, and follows it if `--watch` is set.
pub async fn place(args: &PlaceArgs, output: &mut Output) -> Result<ExitCode, CliError> {
    let client = Client::new(&args.target.url)?;
    let ask = Ask {
        body: Some(body(args)?),
        key: args.key.clone(),
        if_match: None,
    };
    let url = client.url(&["api", "v1", "orders"]);
    let answer = client.ask(Method::POST, url, ask).await?;
    let view: OrderView = answer.json()?;
    if args.json {
        output.line(&answer.json_line()?)?;
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
        if !args.watch {
            output.line(&format!("watch   {}", watch_command(args, &view)))?;
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
    follow(&client, watch, output).await
}

fn watch_command(args: &PlaceArgs, view: &OrderView) -> String {
    let target = if args.target.url == DEFAULT_URL {
        String::new()
    } else {
        format!(" --url {}", program::quoted(&args.target.url))
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
