//! The content of an order: checked when it is built, and fixed once it is placed.

use crate::ids::{CustomerId, ShopId, Sku};
use crate::money::{Amount, Currency};

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What.
    pub sku: Sku,
    /// How many, 1 to [`limits::QUANTITY_MAX`].
    pub quantity: u32,
    /// Price of one, in minor units of the order's currency.
    pub unit_price: Amount,
}

/// Where to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Street and number.
    pub street: Box<str>,
    /// City.
    pub city: Box<str>,
    /// Postal code.
    pub postal_code: Box<str>,
    /// ISO 3166-1 alpha-2 country code.
    pub country: Box<str>,
    /// Latitude in degrees, WGS 84.
    pub lat: Option<f64>,
    /// Longitude in degrees, WGS 84.
    pub lon: Option<f64>,
    /// Phone of the recipient.
    pub phone: Option<Box<str>>,
}

/// The content of an order, as placed. Immutable, shared behind an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Who ordered.
    pub customer: CustomerId,
    /// The currency of every price.
    pub currency: Currency,
    /// At least one, at most [`limits::ITEMS_MAX`].
    pub items: Box<[Item]>,
    /// Where to.
    pub address: Address,
    /// Free text for the courier.
    pub instructions: Option<Box<str>>,
    /// Which shop prepares it.
    pub shop: Option<ShopId>,
    /// Sum over the items.
    pub total: Amount,
}

impl Placed {
    /// The sum of `items`; `None` if it passes [`Amount::MAX`].
    pub fn total_of(items: &[Item]) -> Option<Amount> {
        items.iter().try_fold(Amount(0), |sum, item| {
            sum.checked_add(item.unit_price.checked_mul(item.quantity)?)
        })
    }

    /// The quantity of each SKU, in order of SKU. A SKU in several lines is added up.
    pub fn demand(&self) -> Vec<(Sku, u64)> {
        let mut demand = std::collections::BTreeMap::<&Sku, u64>::new();
        for item in &*self.items {
            *demand.entry(&item.sku).or_default() += u64::from(item.quantity);
        }
        demand
            .into_iter()
            .map(|(sku, quantity)| (sku.clone(), quantity))
            .collect()
    }
}

/// Bounds of the fields. Each is generous for a shop, and together they keep an order well under the body
/// limit.
pub mod limits {
    /// Lines of one order.
    pub const ITEMS_MAX: usize = 100;
    /// Quantity of one line.
    pub const QUANTITY_MAX: u32 = 10_000;
    /// Price of one, in minor units.
    pub const UNIT_PRICE_MAX: i64 = 1_000_000_000;
    /// Characters of street, city.
    pub const LINE_CHARS_MAX: usize = 200;
    /// Characters of postal code and phone.
    pub const CODE_CHARS_MAX: usize = 32;
    /// Characters of delivery instructions.
    pub const INSTRUCTIONS_CHARS_MAX: usize = 1_000;
    /// Characters of a cancellation's reason.
    pub const REASON_CHARS_MAX: usize = 500;
}
