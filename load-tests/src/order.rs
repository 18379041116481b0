//! Orders as a shop would send them: one to three items of a catalogue, an
//! address, about 400 bytes. Built once; only the customer changes.

use std::net::SocketAddr;

use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _};
use serde_json::json;
use uuid::Uuid;

use crate::http;
use crate::load::Traffic;

/// Articles in the catalogue of the benchmarks.
pub const CATALOGUE_SIZE: usize = 100;
/// Prebuilt requests; enough that items and lengths differ from one to the next.
const VARIANTS: usize = 97;
const CUSTOMER: &str = "00000000-0000-4000-8000-000000000000";
const STREETS: [&str; 4] = ["Schönhauser Allee", "Rua Augusta", "Via Roma", "Kungsgatan"];
const CITIES: [(&str, &str, &str); 4] = [
    ("Berlin", "10435", "DE"),
    ("Lisboa", "1100-048", "PT"),
    ("Torino", "10121", "IT"),
    ("Stockholm", "111 43", "SE"),
];

/// `POST /api/v1/orders`, over and over.
pub struct PlaceOrders {
    variants: Vec<Variant>,
}

struct Variant {
    request: Vec<u8>,
    customer_at: usize,
}

/// The name of an article of the catalogue.
pub fn sku(number: usize) -> String {
    format!("BENCH-ARTICLE-{:03}", number % CATALOGUE_SIZE)
}

/// The body of an order; `variant` chooses items and address.
pub fn body(variant: usize, customer: &str) -> String {
    let items: Vec<_> = (0..=variant % 3)
        .map(|item| {
            let number = variant * 7 + item * 31;
            json!({"sku": sku(number), "quantity": 1 + number % 4, "unitPrice": 350 + 25 * (number % 60)})
        })
        .collect();
    let (city, postal_code, country) = CITIES[variant % 4];
    let street = format!("{} {}", STREETS[variant % 4], 1 + variant);
    json!({
        "customerId": customer,
        "currency": "EUR",
        "items": items,
        "address": {
            "street": street, "city": city, "postalCode": postal_code, "country": country,
            "lat": 52.5 + 0.001 * f64::from(u8::try_from(variant % 100).unwrap_or(0)), "lon": 13.4,
            "phone": format!("+49 30 {:07}", 1_234_567 + variant),
        },
        "deliveryInstructions": "ring twice, third floor",
    })
    .to_string()
}

impl PlaceOrders {
    /// Requests to `host`.
    pub fn new(host: SocketAddr) -> Self {
        let variants = (0..VARIANTS)
            .map(|variant| Variant::new(host, &body(variant, CUSTOMER)))
            .collect();
        Self { variants }
    }
}

impl Variant {
    fn new(host: SocketAddr, body: &str) -> Self {
        let request = http::with_json("POST", host, "/api/v1/orders", body);
        let customer_at = request
            .windows(CUSTOMER.len())
            .position(|window| window == CUSTOMER.as_bytes())
            .expect("the body was built with it");
        Self {
            request,
            customer_at,
        }
    }
}

impl Traffic for PlaceOrders {
    fn request(&self, slot: u64, rng: &mut SmallRng, request: &mut Vec<u8>) {
        let chosen = usize::try_from(slot)
            .unwrap_or(0)
            .wrapping_add(rng.random_range(0..3));
        let variant = &self.variants[chosen % self.variants.len()];
        request.extend_from_slice(&variant.request);
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let customer = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let place = &mut request[variant.customer_at..][..CUSTOMER.len()];
        customer.hyphenated().encode_lower(place);
    }
}

/// `PUT /api/v1/orders/{id}/status`.
pub fn put_status(host: SocketAddr, id: Uuid, status: &str) -> Vec<u8> {
    let path = format!("/api/v1/orders/{id}/status");
    http::with_json("PUT", host, &path, &format!(r#"{{"status":"{status}"}}"#))
}

/// `POST /api/v1/orders/{id}/cancel`.
pub fn cancel(host: SocketAddr, id: Uuid) -> Vec<u8> {
    let path = format!("/api/v1/orders/{id}/cancel");
    http::with_json("POST", host, &path, r#"{"reason":"bench"}"#)
}

/// `GET /api/v1/orders/{id}`.
pub fn get(host: SocketAddr, id: Uuid) -> Vec<u8> {
    http::get(host, &format!("/api/v1/orders/{id}"))
}

/// The id in the `Location` of a `201`.
pub fn placed_id(response: &http::Response<'_>) -> Option<Uuid> {
    let location = response.header("location")?;
    location.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn bodies_are_orders_of_about_400_bytes_with_fresh_customers() {
        let host = "127.0.0.1:80".parse().expect("an address");
        let orders = PlaceOrders::new(host);
        let mut rng = SmallRng::seed_from_u64(1);
        let mut customers = std::collections::HashSet::new();
        for slot in 0..300 {
            let mut request = Vec::new();
            orders.request(slot, &mut rng, &mut request);
            let text = String::from_utf8(request).expect("text");
            let (_, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(
                (300..=520).contains(&body.len()),
                "{} bytes: {body}",
                body.len()
            );
            let order: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let customer = order["customerId"].as_str().expect("a string").to_owned();
            assert!(customer.parse::<Uuid>().is_ok());
            assert!(customers.insert(customer), "a customer came twice");
            assert!((1..=3).contains(&order["items"].as_array().expect("items").len()));
        }
    }
}
