//! I6: the inventory's tables, against each other and against the orders.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sqlx::Row as _;
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use super::Violation;
use super::journal::JournalRows;
use crate::support::bodies::ON_HAND;
use crate::support::databases::{connect, number};
use crate::support::deployment::Deployment;

struct StockRows {
    /// On hand and reserved by SKU.
    items: BTreeMap<String, (i64, i64)>,
    /// State and items by order.
    reservations: HashMap<Uuid, (String, Vec<(String, i64)>)>,
}

impl StockRows {
    async fn read(url: &str) -> Self {
        let mut connection = connect(url).await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(begin)
            .execute(&mut connection)
            .await
            .expect("begin");
        let items = sqlx::query("SELECT sku, on_hand, reserved FROM items");
        let items = items.fetch_all(&mut connection).await.expect("read items");
        let items = items
            .iter()
            .map(|row| (row.get(0), (row.get(1), row.get(2))))
            .collect();
        let held = sqlx::query("SELECT order_id, state, items::text FROM reservations");
        let held = held
            .fetch_all(&mut connection)
            .await
            .expect("read reservations");
        let reservations = held
            .iter()
            .map(|row| (row.get(0), (row.get(1), pairs(row.get(2)))))
            .collect();
        Self {
            items,
            reservations,
        }
    }

    /// What of `sku` the reservations in `state` hold.
    fn sum(&self, state: &str, sku: &str) -> i64 {
        let in_state = self.reservations.values().filter(|(s, _)| s == state);
        in_state
            .flat_map(|(_, items)| items)
            .filter(|(s, _)| s == sku)
            .map(|(_, quantity)| quantity)
            .sum()
    }
}

/// `[[sku, quantity], …]`.
fn pairs(json: &str) -> Vec<(String, i64)> {
    let items: Vec<(String, Value)> = serde_json::from_str(json).expect("stored items");
    let quantity = |value: &Value| value.as_i64().expect("a stored quantity");
    items
        .iter()
        .map(|(sku, value)| (sku.clone(), quantity(value)))
        .collect()
}

/// The reservation that an order in `status` has once everything has been told to everyone.
fn settled_states(status: &str) -> &'static [&'static str] {
    match status {
        "CONFIRMED" | "PREPARING" | "IN_TRANSIT" => &["RESERVED"],
        "DELIVERED" => &["SHIPPED"],
        "REJECTED" => &["FAILED"],
        "CANCELLED" => &["RELEASED", "BARRED"],
        // PENDING: its answer is still on its way.
        _ => &[],
    }
}

fn unsettled(rows: &JournalRows, stock: &StockRows) -> Vec<String> {
    let state_of = |id: &Uuid| stock.reservations.get(id).map(|(state, _)| state.as_str());
    let is_settled = |id: &Uuid, status: &str| {
        state_of(id).is_some_and(|state| settled_states(status).contains(&state))
    };
    rows.orders
        .iter()
        .filter(|(id, order)| !is_settled(id, &order.status))
        .map(|(id, order)| format!("{id}: {order:?} with reservation {:?}", state_of(id)))
        .collect()
}

/// Every order's reservation fits its status, and nothing waits in the outboxes. These are looked at last: the step that
/// settled the last order may have put something there.
pub async fn settled(deployment: &Deployment) -> Option<()> {
    let rows = JournalRows::read(&deployment.orders_url).await;
    let stock = StockRows::read(&deployment.inventory_url).await;
    if !unsettled(&rows, &stock).is_empty() {
        return None;
    }
    let waiting = "SELECT count(*) FROM outbox";
    let waits = number(&deployment.orders_url, waiting).await
        + number(&deployment.inventory_url, waiting).await;
    (waits == 0).then_some(())
}

/// What doesn't hold.
pub async fn check(deployment: &Deployment, rows: &JournalRows) -> Vec<Violation> {
    let stock = StockRows::read(&deployment.inventory_url).await;
    let mut found: Vec<Violation> = unsettled(rows, &stock)
        .into_iter()
        .map(|detail| Violation::new(Invariant::Stock, detail))
        .collect();
    for (sku, (on_hand, reserved)) in &stock.items {
        let held = stock.sum("RESERVED", sku);
        // Everything was stocked once, and leaves by being shipped once.
        let shipped = stock.sum("SHIPPED", sku);
        let whole = i64::try_from(ON_HAND).expect("small") == on_hand + shipped;
        if *reserved < 0 || on_hand < reserved || held != *reserved || !whole {
            let detail = format!(
                "{sku}: {on_hand} on hand, {reserved} reserved; {held} held, {shipped} shipped"
            );
            found.push(Violation::new(Invariant::Stock, detail));
        }
    }
    found
}
