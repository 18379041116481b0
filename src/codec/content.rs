//! The content of an order as JSON: the same fields in requests, stored events, messages and views since
//! version 1 of each. A client's order is checked by every rule, and every field that breaks one is named. An
//! order that was accepted once is read by the rules of the first version.

use crate::codec::schema::{
    AddressText, CodeText, CountryCode, CurrencyCode, InstructionsText, Latitude, Longitude, Price,
    Quantity, ShopName, SkuName,
};
use serde::{Deserialize, Serialize};
use trackops_domain::country::is_country;
use trackops_domain::ids::{CustomerId, ShopId, Sku};
use trackops_domain::money::{Amount, Currency};
use trackops_domain::placed::{Address, Item, Placed, limits};
use trackops_domain::visible::has_visible;
use utoipa::ToSchema;

use super::{object, whole};

/// The content of an order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderContent)]
pub struct ContentV1 {
    /// Who orders.
    pub customer_id: uuid::Uuid,
    /// ISO 4217 code, e.g. `EUR`.
    #[schema(value_type = CurrencyCode)]
    pub currency: String,
    /// 1 to 100 lines.
    #[serde(deserialize_with = "object::many")]
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<ItemV1>,
    /// Where to deliver.
    #[serde(deserialize_with = "object::one")]
    pub address: AddressV1,
    /// For the courier; at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<InstructionsText>)]
    pub delivery_instructions: Option<String>,
    /// The shop that prepares it; 1 to 64 visible ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ShopName>)]
    pub shop_id: Option<String>,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderLine)]
pub struct ItemV1 {
    /// 1 to 64 visible ASCII characters; not `.` or `..`, which no URL can name.
    #[schema(value_type = SkuName)]
    pub sku: String,
    /// 1 to 10,000.
    #[serde(deserialize_with = "whole::read")]
    #[schema(value_type = Quantity)]
    pub quantity: i64,
    /// Price of one in minor units, 0 to 1,000,000,000.
    #[serde(deserialize_with = "whole::read")]
    #[schema(value_type = Price)]
    pub unit_price: i64,
}

/// An address. Its lines need a character that is seen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Address)]
pub struct AddressV1 {
    /// Street and number, 1 to 200 characters.
    #[schema(value_type = AddressText)]
    pub street: String,
    /// City, 1 to 200 characters.
    #[schema(value_type = AddressText)]
    pub city: String,
    /// Postal code, 1 to 32 characters.
    #[schema(value_type = CodeText)]
    pub postal_code: String,
    /// ISO 3166-1 alpha-2 code that is assigned, e.g. `DE`.
    #[schema(value_type = CountryCode)]
    pub country: String,
    /// Degrees, WGS 84; together with `lon` or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Latitude>)]
    pub lat: Option<f64>,
    /// Degrees, WGS 84.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Longitude>)]
    pub lon: Option<f64>,
    /// Phone of the recipient, at most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CodeText>)]
    pub phone: Option<String>,
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

impl ContentV1 {
    /// The JSON form of `placed`.
    pub fn of(placed: &Placed) -> Self {
        let address = &placed.address;
        Self {
            customer_id: placed.customer.0,
            currency: placed.currency.as_str().into(),
            items: placed
                .items
                .iter()
                .map(|item| ItemV1 {
                    sku: item.sku.as_str().into(),
                    quantity: item.quantity.into(),
                    unit_price: item.unit_price.0,
                })
                .collect(),
            address: AddressV1 {
                street: (&*address.street).into(),
                city: (&*address.city).into(),
                postal_code: (&*address.postal_code).into(),
                country: (&*address.country).into(),
                lat: address.lat,
                lon: address.lon,
                phone: address.phone.as_deref().map(Into::into),
            },
            delivery_instructions: placed.instructions.as_deref().map(Into::into),
            shop_id: placed.shop.as_ref().map(|shop| shop.as_str().into()),
        }
    }

    /// The domain form of a client's order, or every field that breaks a rule.
    pub fn check(self) -> Result<Placed, Vec<FieldError>> {
        self.checked(Rules::Today)
    }

    /// The domain form of an order that any version accepted, or the fields that make it impossible.
    pub fn accepted(self) -> Result<Placed, Vec<FieldError>> {
        self.checked(Rules::First)
    }

    fn checked(self, rules: Rules) -> Result<Placed, Vec<FieldError>> {
        let mut errors = Errors {
            rules,
            found: Vec::new(),
        };
        let currency = Currency::parse(&self.currency);
        errors.require(
            currency.is_some(),
            "/currency",
            "must be an ISO 4217 code such as EUR",
        );
        errors.require(
            !self.items.is_empty(),
            "/items",
            "must have at least one item",
        );
        errors.require(
            self.items.len() <= limits::ITEMS_MAX,
            "/items",
            &format!("must have at most {} items", limits::ITEMS_MAX),
        );
        let items: Vec<Item> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| check_item(item, index, &mut errors))
            .collect();
        let address = check_address(self.address, &mut errors);
        let instructions = self.delivery_instructions.map(|text| {
            errors.text(
                &text,
                "/deliveryInstructions",
                0,
                limits::INSTRUCTIONS_CHARS_MAX,
            );
            text.into_boxed_str()
        });
        let shop = self.shop_id.as_deref().map(ShopId::parse);
        errors.require(
            shop != Some(None),
            "/shopId",
            "must be 1 to 64 visible ASCII characters",
        );
        let total = Placed::total_of(&items);
        errors.require(total.is_some(), "/items", "the total is too large");
        match (currency, total) {
            (Some(currency), Some(total)) if errors.found.is_empty() => Ok(Placed {
                customer: CustomerId(self.customer_id),
                currency,
                items: items.into(),
                address,
                instructions,
                shop: shop.flatten(),
                total,
            }),
            _ => Err(errors.found),
        }
    }
}

fn check_item(item: &ItemV1, index: usize, errors: &mut Errors) -> Option<Item> {
    let at = |field: &str| format!("/items/{index}/{field}");
    let sku = Sku::parse(&item.sku);
    errors.require(
        sku.is_some(),
        &at("sku"),
        "must be 1 to 64 visible ASCII characters",
    );
    errors.require_today(
        sku.as_ref().is_none_or(Sku::is_addressable),
        &at("sku"),
        "must not be . or .., which no URL can name",
    );
    let quantity = u32::try_from(item.quantity)
        .ok()
        .filter(|q| (1..=limits::QUANTITY_MAX).contains(q));
    errors.require(
        quantity.is_some(),
        &at("quantity"),
        &format!("must be 1 to {}", limits::QUANTITY_MAX),
    );
    let price_fits = (0..=limits::UNIT_PRICE_MAX).contains(&item.unit_price);
    errors.require(
        price_fits,
        &at("unitPrice"),
        &format!("must be 0 to {} minor units", limits::UNIT_PRICE_MAX),
    );
    Some(Item {
        sku: sku?,
        quantity: quantity?,
        unit_price: Amount(item.unit_price),
    })
}

fn check_address(address: AddressV1, errors: &mut Errors) -> Address {
    errors.text(
        &address.street,
        "/address/street",
        1,
        limits::LINE_CHARS_MAX,
    );
    errors.text(&address.city, "/address/city", 1, limits::LINE_CHARS_MAX);
    errors.text(
        &address.postal_code,
        "/address/postalCode",
        1,
        limits::CODE_CHARS_MAX,
    );
    let country = address.country.as_bytes();
    let is_code = country.len() == 2 && country.iter().all(u8::is_ascii_uppercase);
    let is_right = match errors.rules {
        Rules::Today => is_country(&address.country),
        Rules::First => is_code,
    };
    errors.require(
        is_right,
        "/address/country",
        "must be an ISO 3166-1 alpha-2 code in capital letters, such as DE",
    );
    if let Some(phone) = &address.phone {
        errors.text(phone, "/address/phone", 1, limits::CODE_CHARS_MAX);
    }
    check_position(address.lat, address.lon, "/address", errors);
    Address {
        street: address.street.into(),
        city: address.city.into(),
        postal_code: address.postal_code.into(),
        country: address.country.into(),
        lat: address.lat,
        lon: address.lon,
        phone: address.phone.map(Into::into),
    }
}

fn check_position(lat: Option<f64>, lon: Option<f64>, at: &str, errors: &mut Errors) {
    errors.require(
        lat.is_some() == lon.is_some(),
        at,
        "lat and lon go together",
    );
    let within =
        |value: Option<f64>, limit: f64| value.is_none_or(|v| v.is_finite() && v.abs() <= limit);
    errors.require(
        within(lat, 90.0),
        &format!("{at}/lat"),
        "must be -90 to 90 degrees",
    );
    errors.require(
        within(lon, 180.0),
        &format!("{at}/lon"),
        "must be -180 to 180 degrees",
    );
}

/// Which rules apply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// The rules of the first version. Orders that they allow are stored, and must stay readable for ever.
    First,
    /// Those rules and all that were added since.
    Today,
}

/// Collects faults, with a bound: for a body with a thousand faults it keeps the first [`Self::MAX`].
struct Errors {
    rules: Rules,
    found: Vec<FieldError>,
}

impl Errors {
    const MAX: usize = 50;

    fn require(&mut self, holds: bool, pointer: &str, detail: &str) {
        if !holds && self.found.len() < Self::MAX {
            self.found.push(FieldError {
                pointer: pointer.into(),
                detail: detail.into(),
            });
        }
    }

    fn require_today(&mut self, holds: bool, pointer: &str, detail: &str) {
        self.require(holds || self.rules == Rules::First, pointer, detail);
    }

    fn text(&mut self, text: &str, pointer: &str, min: usize, max: usize) {
        let chars = text.chars().count();
        let fits = (min..=max).contains(&chars);
        self.require(
            fits,
            pointer,
            &format!("must have {min} to {max} characters"),
        );
        self.require_today(
            !fits || min == 0 || has_visible(text),
            pointer,
            "must have a visible character",
        );
        // Valid JSON, but neither PostgreSQL's text nor its jsonb takes it.
        self.require(!text.contains('\0'), pointer, "must not contain U+0000");
    }
}
