//! The shop's items, and random orders of its customers.

use rand::RngExt as _;
use rand::rngs::SmallRng;

use trackops_client::{Address, OrderContent, OrderItem};

use super::places::STREETS;

/// SKU and price in cents.
pub const ITEMS: [(&str, i64); 12] = [
    ("PIZZA-MARGHERITA", 950),
    ("PIZZA-FUNGHI", 1_090),
    ("PIZZA-DIAVOLA", 1_190),
    ("CALZONE", 1_150),
    ("LASAGNE-AL-FORNO", 1_250),
    ("RAMEN-MISO", 1_350),
    ("FALAFEL-PLATE", 890),
    ("CAESAR-SALAD", 850),
    ("GARLIC-BREAD", 390),
    ("COLA-330", 290),
    ("CLUB-MATE-500", 320),
    ("ESPRESSO", 250),
];

/// An item that is always sold out: orders with it are REJECTED.
pub const SOLD_OUT: (&str, i64) = ("TIRAMISU", 550);

/// One order in so many has the sold-out item.
const SOLD_OUT_ONE_IN: u32 = 12;

/// An order as a customer would send it.
pub fn order(rng: &mut SmallRng) -> OrderContent {
    let mut items: Vec<OrderItem> = Vec::new();
    let lines: usize = rng.random_range(1..=3);
    while items.len() < lines {
        let (sku, price) = ITEMS[rng.random_range(0..ITEMS.len())];
        if items.iter().all(|item| item.sku != sku) {
            items.push(item(sku, rng.random_range(1..=2), price));
        }
    }
    if rng.random_ratio(1, SOLD_OUT_ONE_IN) {
        items.push(item(SOLD_OUT.0, 1, SOLD_OUT.1));
    }
    let (street, postal_code, house) = STREETS[rng.random_range(0..STREETS.len())];
    OrderContent {
        customer_id: uuid::Builder::from_random_bytes(rng.random()).into_uuid(),
        currency: "EUR".into(),
        items,
        address: Address {
            street: street.into(),
            city: "Berlin".into(),
            postal_code: postal_code.into(),
            country: "DE".into(),
            lat: Some(house.lat),
            lon: Some(house.lon),
            phone: None,
        },
        delivery_instructions: rng.random_ratio(1, 3).then(|| "ring twice".into()),
        shop_id: None,
    }
}

fn item(sku: &str, quantity: i64, unit_price: i64) -> OrderItem {
    OrderItem {
        sku: sku.into(),
        quantity,
        unit_price,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::codec::content::ContentV1;

    #[test]
    fn made_up_orders_keep_every_rule() {
        let mut rng = SmallRng::seed_from_u64(1);
        let orders: Vec<_> = (0..500).map(|_| order(&mut rng)).collect();
        let sold_out = |order: &&OrderContent| order.items.iter().any(|i| i.sku == SOLD_OUT.0);
        let rejected = orders.iter().filter(sold_out).count();
        assert!((10..100).contains(&rejected), "{rejected} of 500");
        for order in orders {
            let form = serde_json::to_value(order).expect("JSON");
            let form: ContentV1 = serde_json::from_value(form).expect("the form");
            form.check().expect("keeps every rule");
        }
    }
}
