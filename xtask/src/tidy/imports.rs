//! Which folder may import which: the table of the design, checked by text. Every `crate::<name>` in a folder
//! of `src/`, also as a chain of `super::`, must be in the folder's row. Leaves circles between files to
//! [`circles`].

use super::finding::Finding;
use super::source::Source;
use super::words::has_word;

pub mod circles;
mod modules;
mod paths;
mod references;
mod resolve;
mod tokens;
use references::{Reference, references};

const PURE: &[&str] = &["domain", "cluster"];
/// The ports know no stored or published forms, and the forms no ports.
const PLAIN: &[&str] = &["model", "domain", "cluster"];
const CONTRACT: &[&str] = &["ports", "codec", "model", "domain", "cluster"];
const MIDDLE: &[&str] = &["messaging", "ports", "codec", "model", "domain", "cluster"];
/// The router passes requests to the actors and the mirrors, and keeps the two apart.
const ROUTER: &[&str] = &[
    "actors", "live", "ports", "codec", "model", "domain", "cluster",
];
/// What talks to a server as anybody would.
const CLIENT: &[&str] = &["client", "ports", "codec", "model", "domain"];
const API: &[&str] = &[
    "actors",
    "auth",
    "inventory",
    "limits",
    "outbox",
    "live",
    "ports",
    "codec",
    "model",
    "domain",
];

/// A folder (or a file) of `src/` and what it may import. `domain`, `cluster` and `client` are crates.
const TABLE: &[(&str, &[&str])] = &[
    ("model", PURE),
    ("ports", PLAIN),
    ("codec", PLAIN),
    ("messaging", CONTRACT),
    ("auth", CONTRACT),
    ("actors", MIDDLE),
    ("inventory", MIDDLE),
    ("limits", CONTRACT),
    ("outbox", MIDDLE),
    ("live", MIDDLE),
    ("retention", CONTRACT),
    ("router", ROUTER),
    ("postgres", CONTRACT),
    ("kafka", CONTRACT),
    ("redis", CONTRACT),
    ("embedded", CONTRACT),
    ("api", API),
    ("cli", CLIENT),
    ("demo", CLIENT),
    ("config", PURE),
    ("telemetry", PURE),
    ("faults", PURE),
];

/// Every folder may import these.
const COMMON: &[&str] = &["config", "telemetry", "faults"];
/// These may import everything.
const TOP: &[&str] = &["app", "main", "lib"];

/// Checks one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.path == "src/lib.rs" {
        findings.extend(re_exports(source));
    }
    if let Some(owner) = owner(&source.path) {
        let row = TABLE
            .iter()
            .find(|(name, _)| *name == owner)
            .map(|(_, row)| *row);
        if row.is_none() && !TOP.contains(&owner) {
            let message = format!("`{owner}` isn't in the import table: give it a row");
            findings.push(Finding::new(source, 1, message));
        }
        for reference in references(source) {
            let refused = refusal(owner, row, &reference);
            findings.extend(refused.map(|why| Finding::new(source, reference.line, why)));
        }
    } else if ["domain/src/", "cluster/src/", "client/src/"]
        .iter()
        .any(|folder| source.path.starts_with(folder))
    {
        let ours = source.numbered_code().filter(|(_, code)| {
            [
                "trackops::",
                "trackops_domain::",
                "trackops_cluster::",
                "trackops_client::",
            ]
            .iter()
            .any(|name| has_word(code, name))
        });
        let message =
            "imports a crate of ours: domain, cluster and client know nothing of the rest";
        findings.extend(ours.map(|(line, _)| Finding::new(source, line, message)));
    }
    findings
}

/// The folder below `src/`, or the file's name without its ending.
fn owner(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let first = below.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

fn refusal(owner: &str, row: Option<&[&str]>, reference: &Reference) -> Option<String> {
    let name = reference.name.as_str();
    if name == "*" {
        return Some("`use crate::*`: name what is imported".to_owned());
    }
    let row = row?;
    if name == owner || COMMON.contains(&name) || row.contains(&name) {
        return None;
    }
    let row = row.join(", ");
    Some(format!(
        "`{owner}` may not import `{name}`: its row is {row}"
    ))
}

fn re_exports(source: &Source) -> impl Iterator<Item = Finding> {
    let uses = source.numbered_code().filter(|(_, code)| {
        let code = code.trim_start();
        code.starts_with("pub") && has_word(code, "use ")
    });
    uses.map(|(line, _)| {
        Finding::new(
            source,
            line,
            "a re-export in lib.rs: import it from where it is",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_folder_imports_what_its_row_says() {
        assert_eq!(
            count("src/actors/order.rs", "use crate::ports::Journal;"),
            0
        );
        assert_eq!(
            count("src/actors/order.rs", "use crate::actors::shard::Shard;"),
            0
        );
        assert_eq!(count("src/actors/order.rs", "use crate::faults::hit;"), 0);
        assert_eq!(
            count("src/actors/order.rs", "use crate::postgres::Journal;"),
            1
        );
        assert_eq!(
            count("src/actors/order.rs", "use crate::live::Sessions;"),
            1
        );
        assert_eq!(
            count("src/postgres/journal.rs", "use crate::embedded::Writer;"),
            1
        );
        assert_eq!(count("src/demo/shop.rs", "use trackops_cluster::Epoch;"), 1);
        assert_eq!(count("src/demo/shop.rs", "use trackops_client::Client;"), 0);
        assert_eq!(count("src/api/state.rs", "use trackops_client::Client;"), 1);
        assert_eq!(
            count("src/ports/journal.rs", "use trackops_domain::Order;"),
            0
        );
    }

    #[test]
    fn the_top_imports_everything_and_a_stranger_has_no_row() {
        assert_eq!(count("src/app.rs", "use crate::postgres::Journal;"), 0);
        assert_eq!(
            count("src/app/roles.rs", "use crate::postgres::Journal;"),
            0
        );
        assert_eq!(count("src/misc/a.rs", ""), 1);
    }

    #[test]
    fn globs_of_the_crate_and_re_exports_are_refused() {
        assert_eq!(count("src/app.rs", "use crate::*;"), 1);
        assert_eq!(
            count("src/lib.rs", "pub mod api;\npub(crate) use api::Router;"),
            1
        );
        assert_eq!(count("src/ports/mod.rs", "pub use journal::Journal;"), 0);
    }

    #[test]
    fn domain_cluster_and_client_know_nothing_of_ours() {
        assert_eq!(
            count("cluster/src/lib.rs", "use trackops_domain::OrderId;"),
            1
        );
        assert_eq!(
            count("client/src/lib.rs", "use trackops_domain::OrderId;"),
            1
        );
        assert_eq!(count("domain/src/lib.rs", "use crate::order::Order;"), 0);
        assert_eq!(
            count("domain/tests/laws.rs", "use trackops_domain::Order;"),
            0
        );
    }
}
