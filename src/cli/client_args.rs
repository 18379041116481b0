//! The flags of the client commands, as clap (derive) reads them.

use clap::{Args, Subcommand};
use trackops_client::DeadLetterId;
use trackops_domain::status::Status;
use uuid::Uuid;

use super::place_args::PlaceArgs;
use super::target::{Credential, DEFAULT_MANAGEMENT_URL, Target, Trust};

const SHOW_HELP: &str = "\
Examples:
  trackops show 01927c3e-8f1a-7000-8000-0123456789ab
  trackops show 01927c3e-8f1a-7000-8000-0123456789ab --history";

const WATCH_HELP: &str = "\
Examples:
  trackops watch                                   the newest order
  trackops watch ID --since 0 --until-final        from its first status to its last
  trackops watch ID1 ID2 --json | my-program

Each update is one line: time (UTC), end of the order's id, status before → after, version,
by whom, why. A lost connection is made again and goes on where it broke off, without gap or
repeat. Ctrl-C ends it (exit code 130 with --until-final).";

const ADVANCE_HELP: &str = "\
Examples:
  trackops advance ID                the next step, whatever it is
  trackops advance ID in-transit

Steps: CONFIRMED → PREPARING → IN_TRANSIT → DELIVERED. PENDING → CONFIRMED is the inventory's.
The step to the status that the order already has changes nothing and is a success.";

const DEAD_LETTERS_HELP: &str = "\
Examples:
  trackops dead-letters                                  list them
  trackops dead-letters list --topic FULFILLMENT_UPDATES
  trackops dead-letters show FULFILLMENT_UPDATES/0/12
  trackops dead-letters resend FULFILLMENT_UPDATES/0/12
  trackops dead-letters --management-url http://127.0.0.1:8080     of `trackops dev`";

/// The commands that talk to a running system.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Place an order
    #[command(after_help = super::place_args::HELP)]
    Place(Box<PlaceArgs>),
    /// Show an order
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
    /// Print every update of orders as it comes
    #[command(after_help = WATCH_HELP)]
    Watch(WatchArgs),
    /// Take an order's next step
    #[command(after_help = ADVANCE_HELP)]
    Advance(AdvanceArgs),
    /// Cancel an order and give back what was reserved for it
    Cancel(CancelArgs),
    /// List, show and send again what consumers could not handle
    #[command(after_help = DEAD_LETTERS_HELP)]
    DeadLetters(DeadLettersArgs),
}

/// `trackops show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The order's id
    pub id: Uuid,
    /// Also every version: what, when, by whom
    #[arg(long)]
    pub history: bool,
    /// Print the view as JSON (with --history: the versions in its field "history")
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub target: Target,
}

/// `trackops watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// The orders' ids; without any, the newest order
    #[arg(value_name = "ID")]
    pub ids: Vec<Uuid>,
    /// Start with version N + 1 (0: with the first) instead of how the order stands now
    #[arg(long, value_name = "N")]
    pub since: Option<u32>,
    /// Print one JSON object a line, as the server sent it
    #[arg(long)]
    pub json: bool,
    /// End once every order is DELIVERED, REJECTED or CANCELLED
    #[arg(long)]
    pub until_final: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub target: Target,
}

/// `trackops advance`.
#[derive(Clone, Debug, Args)]
pub struct AdvanceArgs {
    /// The order's id
    pub id: Uuid,
    /// The status to go to, e.g. in-transit; without it, the next one
    #[arg(value_parser = parse_status)]
    pub status: Option<Status>,
    /// Who takes it to the customer; only to preparing or in-transit
    #[arg(long, value_name = "ID")]
    pub courier: Option<String>,
    /// Idempotency-Key: a repeat with the same key is the same step
    #[arg(long)]
    pub key: Option<String>,
    /// Print the view as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub target: Target,
}

/// `trackops cancel`.
#[derive(Clone, Debug, Args)]
pub struct CancelArgs {
    /// The order's id
    pub id: Uuid,
    /// Why, shown to everyone who watches
    #[arg(long)]
    pub reason: Option<String>,
    /// Idempotency-Key: a repeat with the same key is the same cancellation
    #[arg(long)]
    pub key: Option<String>,
    /// Print the view as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub target: Target,
}

/// `trackops dead-letters`.
#[derive(Clone, Debug, Args)]
pub struct DeadLettersArgs {
    /// What to do with them; without it, list.
    #[command(subcommand)]
    pub action: Option<DeadLetterAction>,
    /// The management address of the order service (of `trackops dev`: its only address, unless it was given two)
    #[arg(long, value_name = "URL", global = true)]
    #[arg(env = "TRACKOPS_MANAGEMENT_URL", hide_env_values = true, default_value = DEFAULT_MANAGEMENT_URL)]
    pub management_url: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub trust: Trust,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub credential: Credential,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLetterAction {
    /// List them, one a line
    List {
        /// Only of this topic (without .dlq)
        #[arg(long)]
        topic: Option<String>,
        /// At most so many; without it, all
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Show one with its headers and value
    Show {
        /// TOPIC/PARTITION/OFFSET, as listed
        #[arg(value_parser = parse_letter)]
        id: DeadLetterId,
    },
    /// Publish one to its topic again
    Resend {
        /// TOPIC/PARTITION/OFFSET, as listed
        #[arg(value_parser = parse_letter)]
        id: DeadLetterId,
    },
}

fn parse_status(text: &str) -> Result<Status, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    Status::parse(&name).ok_or_else(|| {
        let names =
            Status::ALL.map(|status| status.as_str().to_ascii_lowercase().replace('_', "-"));
        format!("must be one of {}", names.join(", "))
    })
}

fn parse_letter(text: &str) -> Result<DeadLetterId, String> {
    let form = || "must be TOPIC/PARTITION/OFFSET, e.g. ORDER_CREATED/0/12".to_owned();
    let mut parts = text.rsplitn(3, '/');
    let offset = parts.next().and_then(|part| part.parse().ok());
    let partition = parts.next().and_then(|part| part.parse().ok());
    let topic = parts.next().filter(|topic| !topic.is_empty());
    Ok(DeadLetterId {
        topic: topic.ok_or_else(form)?.to_owned(),
        partition: partition.ok_or_else(form)?,
        offset: offset.ok_or_else(form)?,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::*;

    #[test]
    fn statuses_are_taken_as_people_type_them() {
        for text in ["in-transit", "IN_TRANSIT", "In_Transit"] {
            assert_eq!(parse_status(text), Ok(Status::InTransit));
        }
        let error = parse_status("lost").expect_err("no status");
        assert!(error.contains("in-transit"), "{error}");
    }

    #[test]
    fn dead_letters_are_named_by_their_place() {
        let letter = parse_letter("FULFILLMENT_UPDATES/3/12").expect("a place");
        assert_eq!(letter.topic, "FULFILLMENT_UPDATES");
        assert_eq!((letter.partition, letter.offset), (3, 12));
        for bad in ["", "12", "0/12", "/0/12", "T/x/12", "T/0/"] {
            assert!(parse_letter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_dead_letters_lists() {
        let url = ["trackops", "dead-letters", "--management-url", "http://h"];
        let cli = Cli::try_parse_from(url).expect("valid");
        let Command::Client(ClientCommand::DeadLetters(args)) = cli.command else {
            panic!("another command");
        };
        assert!(args.action.is_none());
        assert_eq!(args.management_url, "http://h");
    }
}
