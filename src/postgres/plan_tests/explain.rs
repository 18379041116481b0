//! Captures the plans that the server reports, and judges them.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Event, Metadata, Subscriber};

/// The log target under which sqlx reports the server's notices.
const NOTICES: &str = "sqlx::postgres::notice";

/// Tables that don't grow: a scan of one costs nothing.
const SMALL: [&str; 8] = [
    "access_revision",
    "shards",
    "nodes",
    "outbox_leases",
    "outbox_holders",
    "_sqlx_migrations",
    "maintenance",
    "outbox_seq_seq",
];

/// A plan node that discards more rows than this has read too much.
const WASTED_ROWS_MAX: f64 = 1_000.0;

/// Captures plans on this thread until it is dropped.
pub(super) struct Explained {
    messages: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

/// The plan of one statement.
pub(super) struct Plan(Value);

impl Explained {
    pub(super) fn listen() -> Self {
        let messages = Arc::default();
        let notices = Notices(Arc::clone(&messages));
        Self {
            messages,
            _guard: tracing::subscriber::set_default(notices),
        }
    }

    /// The plans captured so far.
    pub(super) fn plans(&self) -> Vec<Plan> {
        let messages = self.messages.lock();
        let explained = messages.iter().filter_map(|message| {
            let (_, json) = message.split_once("plan:")?;
            Some(Plan(
                serde_json::from_str(json).expect("auto_explain's JSON"),
            ))
        });
        explained.collect()
    }
}

impl Plan {
    pub(super) fn statement(&self) -> String {
        format!(
            "{}\n{:#}",
            self.0["Query Text"].as_str().unwrap_or_default(),
            self.0["Plan"]
        )
    }

    /// Every part of the plan that a table's growth or its statistics can make slow.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        judge(&self.0["Plan"], &mut faults);
        faults
    }
}

fn judge(node: &Value, faults: &mut Vec<String>) {
    let table = grown_table(node);
    match (kind(node), table) {
        ("Seq Scan", Some(table)) => faults.push(format!("walks {table}")),
        ("Index Scan" | "Index Only Scan", Some(table)) if node["Index Cond"].is_null() => {
            faults.push(format!("walks an index of {table}"));
        }
        ("Nested Loop", _) => judge_loop(node, faults),
        ("Sort", _) => {
            // A sort is for one page: rows that are read in order need none.
            let rows = children(node).filter_map(|child| child["Actual Rows"].as_f64());
            if rows.sum::<f64>() > WASTED_ROWS_MAX {
                faults.push("sorts more than it shows".into());
            }
        }
        _ => {}
    }
    for wasted in ["Rows Removed by Filter", "Rows Removed by Join Filter"] {
        if node[wasted]
            .as_f64()
            .is_some_and(|rows| rows > WASTED_ROWS_MAX)
        {
            faults.push(format!("{wasted}: {}", node[wasted]));
        }
    }
    for child in children(node) {
        judge(child, faults);
    }
}

/// Finds a loop with a table as the outer side, which scans the argument once for each row.
fn judge_loop(node: &Value, faults: &mut Vec<String>) {
    let side = |wanted| {
        let mut sides = children(node);
        sides.find(|child| child["Parent Relationship"] == wanted)
    };
    let (Some(outer), Some(inner)) = (side("Outer"), side("Inner")) else {
        return;
    };
    // A set that is unfolded from each row itself is no argument.
    let is_argument = |node: &Value| {
        matches!(kind(node), "Function Scan" | "CTE Scan")
            && node["Function Name"] != "json_array_elements"
    };
    if any(outer, &|node| grown_table(node).is_some())
        && any(inner, &is_argument)
        && !any(inner, &|node| grown_table(node).is_some())
    {
        faults.push("walks the argument for each row".into());
    }
}

fn any(node: &Value, is_wanted: &dyn Fn(&Value) -> bool) -> bool {
    is_wanted(node) || children(node).any(|child| any(child, is_wanted))
}

fn kind(node: &Value) -> &str {
    node["Node Type"].as_str().unwrap_or_default()
}

/// The table that a node reads, if it is one that grows.
fn grown_table(node: &Value) -> Option<&str> {
    let table = node["Relation Name"].as_str()?;
    (kind(node).contains("Scan") && !SMALL.contains(&table)).then_some(table)
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

/// Keeps the notices.
struct Notices(Arc<Mutex<Vec<String>>>);

impl Subscriber for Notices {
    // The callsite alone can't decide: other tests capture other events at the same time.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == NOTICES
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Message(&self.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Message<'a>(&'a Mutex<Vec<String>>);

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.lock().push(value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().push(format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(plan: &Value) -> Vec<String> {
        Plan(json!({ "Plan": plan })).faults()
    }

    #[test]
    fn a_walk_is_a_fault_and_a_look_up_is_none() {
        let scan = |kind: &str, table: &str| json!({ "Node Type": kind, "Relation Name": table });
        assert_eq!(faults(&scan("Seq Scan", "outbox")), ["walks outbox"]);
        assert_eq!(
            faults(&scan("Index Scan", "outbox")),
            ["walks an index of outbox"]
        );
        assert!(faults(&scan("Seq Scan", "shards")).is_empty());
        let mut found = scan("Index Scan", "outbox");
        found["Index Cond"] = "(lane = 1)".into();
        assert!(faults(&found).is_empty());
        found["Rows Removed by Filter"] = 20_000.into();
        assert_eq!(faults(&found).len(), 1);
    }

    #[test]
    fn an_argument_may_lead_into_a_table_and_not_the_other_way_round() {
        let side = |place: &str, kind: &str, table: Option<&str>| {
            json!({ "Node Type": kind, "Parent Relationship": place, "Relation Name": table,
                    "Index Cond": "(id = x)" })
        };
        let plan = |outer: Value, inner: Value| json!({ "Node Type": "Nested Loop", "Plans": [outer, inner] });
        let good = plan(
            side("Outer", "Function Scan", None),
            side("Inner", "Index Scan", Some("orders")),
        );
        assert!(faults(&good).is_empty());
        let bad = plan(
            side("Outer", "Index Scan", Some("orders")),
            side("Inner", "Function Scan", None),
        );
        assert_eq!(faults(&bad), ["walks the argument for each row"]);
    }
}
