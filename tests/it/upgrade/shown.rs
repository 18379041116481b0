//! What the program that left a database has shown of it last, by REST.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::scenario::reservation;
use crate::support::client::Client;

const FILE: &str = "shown.json";

/// What was shown.
#[derive(Serialize, Deserialize)]
pub struct Shown {
    pub orders: Vec<ShownOrder>,
    pub items: BTreeMap<String, Value>,
}

/// What was shown of an order.
#[derive(Serialize, Deserialize)]
pub struct ShownOrder {
    pub view: Value,
    pub history: Value,
    /// Null if it had none.
    pub reservation: Value,
}

impl ShownOrder {
    pub fn id(&self) -> Uuid {
        let id = self.view["id"].as_str().expect("a view's id");
        id.parse().expect("a UUID")
    }

    pub fn status(&self) -> &str {
        self.view["status"].as_str().expect("a view's status")
    }
}

impl Shown {
    /// Asks for `orders` and for every item.
    pub async fn ask(client: &Client, orders: &[Uuid]) -> Self {
        let mut shown = Vec::new();
        for order in orders {
            let reservation = client.fetch(&reservation(client, *order)).await;
            shown.push(ShownOrder {
                view: client.show(*order).await.expect(200).body,
                history: client
                    .get(&format!("/api/v1/orders/{order}/history"))
                    .await
                    .expect(200)
                    .body,
                reservation: if reservation.status == 404 {
                    Value::Null
                } else {
                    reservation.expect(200).body
                },
            });
        }
        let items = format!("{}/api/v1/inventory/items", client.to.inventory);
        let items = client.fetch(&items).await.expect(200).body["items"].take();
        let items = items.as_array().expect("a page").iter();
        let items = items.map(|item| {
            (
                item["sku"].as_str().expect("a SKU").to_owned(),
                item.clone(),
            )
        });
        Self {
            orders: shown,
            items: items.collect(),
        }
    }

    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read(folder.join(FILE)).expect("it is there");
        serde_json::from_slice(&text).expect("its form")
    }

    pub fn write(&self, folder: &Path) {
        let text = serde_json::to_string_pretty(self).expect("JSON");
        std::fs::write(folder.join(FILE), text + "\n").expect("written");
    }
}

/// Fails unless all that was `shown` is shown today; today there may be more. Positions are not stored.
#[track_caller]
pub fn assert_still_shown(shown: &Value, today: &Value, at: &str) {
    match (shown, today) {
        (Value::Object(shown), Value::Object(_)) => {
            for (name, shown) in shown.iter().filter(|(name, _)| *name != "courier") {
                assert_still_shown(shown, &today[name], &format!("{at}/{name}"));
            }
        }
        (Value::Array(shown), Value::Array(list)) => {
            assert_eq!(shown.len(), list.len(), "{at}");
            for (index, (shown, today)) in shown.iter().zip(list).enumerate() {
                assert_still_shown(shown, today, &format!("{at}/{index}"));
            }
        }
        _ => assert_eq!(shown, today, "{at}"),
    }
}
