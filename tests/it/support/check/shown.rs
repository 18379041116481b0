//! I3, I7 and I8: what was answered, read, pushed and cached, against the journal.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::AsyncCommands as _;
use serde_json::Value;
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use super::Violation;
use super::journal::JournalRows;
use crate::support::client::Client;
use crate::support::deployment::Deployment;
use crate::support::recorder::Recorder;
use crate::support::wait::within;

/// Orders that are read back at the end at most.
const READS_MAX: usize = 300;

/// Everything that clients were told is in the journal.
pub fn check_told(
    rows: &JournalRows,
    seen: &HashMap<Uuid, BTreeMap<u32, String>>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, versions) in seen {
        for (version, status) in versions {
            found.extend(is_durable(rows, *id, *version, status, "told"));
        }
    }
    found
}

fn is_durable(
    rows: &JournalRows,
    id: Uuid,
    version: u32,
    status: &str,
    how: &str,
) -> Option<Violation> {
    let stored = rows.status_at(id, version);
    (stored != Some(status)).then(|| {
        let detail =
            format!("{id}: version {version} was {how} as {status}; the journal: {stored:?}");
        Violation::new(Invariant::DurableFirst, detail)
    })
}

/// Everything in Redis is in the journal.
pub async fn check_cache(deployment: &Deployment, rows: &JournalRows) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in cached_views(deployment).await {
        let id = view["id"].as_str().and_then(|id| id.parse().ok());
        let version = view["version"].as_u64().and_then(|v| u32::try_from(v).ok());
        let (Some(id), Some(version)) = (id, version) else {
            let detail = format!("not a view in the cache: {view}");
            found.push(Violation::new(Invariant::DurableFirst, detail));
            continue;
        };
        let status = view["status"].as_str().unwrap_or_default();
        found.extend(is_durable(rows, id, version, status, "cached"));
    }
    found
}

async fn cached_views(deployment: &Deployment) -> Vec<Value> {
    let client = redis::Client::open(deployment.redis_url.as_str()).expect("a Redis URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("connect to Redis");
    let pattern = format!("{}order:*", deployment.redis_prefix);
    let mut keys: Vec<String> = Vec::new();
    let mut scan = connection.scan_match(pattern).await.expect("scan Redis");
    while let Some(key) = scan.next_item().await {
        keys.push(key.expect("a key is text"));
    }
    drop(scan);
    let mut views = Vec::new();
    for key in keys {
        let entry: Option<Vec<u8>> = connection.get(&key).await.expect("read Redis");
        // What stands before the view ranks it against others.
        let entry = entry.unwrap_or_default();
        let start = entry.iter().position(|byte| *byte == b'{');
        let view = &entry[start.unwrap_or(entry.len())..];
        views.push(serde_json::from_slice(view).unwrap_or(Value::Null));
    }
    views
}

/// At rest, what is read is the journal's last version.
pub async fn check_reads(deployment: &Deployment, rows: &JournalRows) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, order) in rows.orders.iter().take(READS_MAX) {
        let answer = deployment.client.show(*id).await;
        let read = (answer.body["version"].as_u64(), answer.text("status"));
        if read != (Some(order.version.into()), &order.status) {
            let detail = format!(
                "{id}: {order:?} is read as {} {}",
                answer.status, answer.body
            );
            found.push(Violation::new(Invariant::Fresh, detail));
        }
    }
    found
}

/// No running code has found a breach by itself.
pub async fn check_metrics(deployment: &Deployment) -> Vec<Violation> {
    let to = &deployment.client.to;
    let mut found = Vec::new();
    for management in [
        &to.order_management,
        &to.inventory_management,
        &to.relay_management,
    ] {
        found.extend(check_metrics_of(&deployment.client, management).await);
    }
    found
}

/// The same of the process behind one management listener.
pub async fn check_metrics_of(client: &Client, management: &str) -> Vec<Violation> {
    let text = client.metrics(management).await;
    let text = text.unwrap_or_else(|| panic!("{management} has no metrics"));
    let counted = text
        .lines()
        .filter(|line| line.starts_with(trackops::telemetry::names::INVARIANT_VIOLATIONS))
        .filter(|line| !line.ends_with(" 0"));
    counted
        .map(|line| Violation::new(invariant_of(line), line))
        .collect()
}

fn invariant_of(line: &str) -> Invariant {
    Invariant::ALL
        .into_iter()
        .find(|invariant| line.contains(&format!("\"{}\"", invariant.id())))
        .unwrap_or_else(|| panic!("{line} names no invariant"))
}

/// I7: every subscriber ends at the order's last version. (That versions rise, it has checked.)
pub async fn check_recorder(recorder: &Recorder, rows: &JournalRows) -> Vec<Violation> {
    let behind = || {
        let last = recorder.last();
        let expected = |id: &Uuid| rows.orders.get(id).map(|order| order.version);
        let behind = last.into_iter().filter(|(id, last)| *last != expected(id));
        behind.collect::<Vec<_>>()
    };
    let caught_up = within(Duration::from_secs(10), || async {
        behind().is_empty().then_some(())
    });
    if caught_up.await.is_some() {
        return Vec::new();
    }
    let missing = behind().into_iter().map(|(id, last)| {
        let detail = format!("{id}: heard up to {last:?} of {:?}", rows.orders.get(&id));
        Violation::new(Invariant::Live, detail)
    });
    missing.collect()
}
