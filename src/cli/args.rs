//! The command line of the whole binary, as clap (derive) reads it. What it means is left to the
//! commands and to `app`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use trackops_domain::status::Status;
use uuid::Uuid;

use super::place_args::PlaceArgs;

/// The order service's public address, unless something else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// The order service's management address, unless something else is said.
pub const DEFAULT_MANAGEMENT_URL: &str = "http://127.0.0.1:9080";
/// Where `dev` keeps its data.
pub const DEFAULT_DATA_DIR: &str = "./trackops-data";

const TOP_HELP: &str = "\
Try it:
  trackops dev --demo           everything in one process, with a small shop at work
  trackops place --watch        in another terminal: place an order and follow it

Environment:
  TRACKOPS_URL                  the server that the client commands talk to
  TRACKOPS_MANAGEMENT_URL       the server that dead-letters talks to
  TRACKOPS_LOG                  log filter of the servers, e.g. info,trackops::outbox=debug
  TRACKOPS_LISTEN, …            every key of the configuration: see `trackops config`

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.";

const DEV_HELP: &str = "\
Examples:
  trackops dev --demo
  trackops dev --data-dir /tmp/shop --listen 127.0.0.1:9000

Nothing else has to be installed: journal, stock and bus are one SQLite file in the data
directory. Without --demo the stock is empty; what is printed at start says how to set it.";

const ROLE_HELP: &str = "\
Environment: TRACKOPS_ORDERS_DATABASE_URL, TRACKOPS_INVENTORY_DATABASE_URL,
TRACKOPS_KAFKA_BROKERS, TRACKOPS_REDIS_URL, TRACKOPS_LISTEN, TRACKOPS_MANAGEMENT_LISTEN,
TRACKOPS_NODE_ID and every other key that `trackops config` prints.
Later ones win: defaults, file, environment, flags. Run `trackops migrate` first.";

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

/// Order tracking: one supervised actor per live order, journalled, published and watched live.
#[derive(Debug, Parser)]
#[command(name = "trackops", version, after_help = TOP_HELP)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process, with nothing else installed
    #[command(after_help = DEV_HELP)]
    Dev(DevArgs),
    /// A client command.
    #[command(flatten)]
    Client(ClientCommand),
    /// Run the order service: REST, live tracking, order actors (8080, management 9080)
    #[command(after_help = ROLE_HELP)]
    Order(RoleArgs),
    /// Run the inventory service: stock and reservations (8081, management 9081)
    #[command(after_help = ROLE_HELP)]
    Inventory(RoleArgs),
    /// Run the event relay: outboxes to Kafka (8082, management 9082)
    #[command(after_help = ROLE_HELP)]
    Relay(RoleArgs),
    /// Bring the databases up to date and create the topics
    #[command(after_help = ROLE_HELP)]
    Migrate(ConfigArgs),
    /// Print the configuration in force, secrets masked
    Config(ConfigArgs),
}

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

/// A service that runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// REST, live tracking, actors.
    Order,
    /// Stock and reservations.
    Inventory,
    /// Outboxes to Kafka.
    Relay,
}

/// `trackops dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Where orders, stock and messages are kept; made if it isn't there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
    /// Address to listen on [default: 127.0.0.1:8080] [env: TRACKOPS_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Stock a catalogue and let simulated customers, kitchens and couriers work
    #[arg(long)]
    pub demo: bool,
}

/// `trackops order|inventory|relay`.
#[derive(Clone, Debug, Args)]
pub struct RoleArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Public address to listen on [default: the role's port on 127.0.0.1] [env: TRACKOPS_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// A command that only needs the configuration.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which server a client command talks to.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The order service
    #[arg(long, value_name = "URL", env = "TRACKOPS_URL", default_value = DEFAULT_URL)]
    pub url: String,
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
    /// The management address of the order service (of `trackops dev`: its only address)
    #[arg(long, value_name = "URL", global = true)]
    #[arg(env = "TRACKOPS_MANAGEMENT_URL", default_value = DEFAULT_MANAGEMENT_URL)]
    pub management_url: String,
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
        /// At most so many, up to 200
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
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

/// The place of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterId {
    /// The topic that it was meant for.
    pub topic: String,
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

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
