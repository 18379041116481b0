//! The small types of the API's documents: names, codes and texts with the bounds that the server checks. Each
//! takes its bounds from the constant that the check uses. Forms name them by `#[schema(value_type = …)]`, and
//! nothing else uses them.

use std::fmt::Write as _;

use trackops_domain::access::Role;
use trackops_domain::country;
use trackops_domain::ids::{CourierId, ShopId, Sku};
use trackops_domain::money::{Amount, Currency};
use trackops_domain::placed::limits;
use trackops_domain::status::Status;
use trackops_domain::stock::ON_HAND_MAX;
use trackops_domain::visible;
use utoipa::openapi::schema::{Object, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, ObjectBuilder};

use crate::model::topic::Topic;

/// A type that has a schema and no values.
macro_rules! documented_type {
    ($($(#[doc = $doc:literal])* $name:ident = $schema:expr;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let mut schema: utoipa::openapi::schema::Object = $schema;
                let text = [$($doc),*].map(str::trim).join(" ");
                schema.description.get_or_insert(text);
                schema.into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}
pub(crate) use documented_type;

documented_type! {
    /// The status of an order.
    OrderStatus = one_of(Status::ALL.map(Status::as_str));
    /// What a caller may do.
    CallerRole = one_of(Role::NAMES);
    /// An event type, and the topic that carries it.
    TopicName = one_of(Topic::ALL.map(Topic::as_str));
    /// An ISO 4217 code of money that is paid with.
    CurrencyCode = one_of(Currency::codes().iter().copied());
    /// An officially assigned ISO 3166-1 alpha-2 code.
    CountryCode = one_of(country::codes().iter().copied());
    /// A stock keeping unit: visible ASCII characters, but neither `.` nor `..`, which no URL can name.
    SkuName = matching(ADDRESSABLE, 1, Sku::BYTES_MAX);
    /// A shop that prepares orders, by its name.
    ShopName = visible_ascii(ShopId::BYTES_MAX);
    /// A courier, by its name.
    CourierName = visible_ascii(CourierId::BYTES_MAX);
    /// A line of an address, with a visible character.
    AddressText = visible_text(limits::LINE_CHARS_MAX);
    /// A postal code or phone number, with a visible character.
    CodeText = visible_text(limits::CODE_CHARS_MAX);
    /// Words for the courier.
    InstructionsText = matching(NO_NUL, 0, limits::INSTRUCTIONS_CHARS_MAX);
    /// Why an order is cancelled, with a visible character.
    ReasonText = visible_text(limits::REASON_CHARS_MAX);
    /// How many of an item an order has in one line.
    Quantity = whole(1, limits::QUANTITY_MAX.into());
    /// A price in minor units of the order's currency.
    Price = whole(0, limits::UNIT_PRICE_MAX);
    /// A sum in minor units of the order's currency.
    Sum = whole(0, Amount::MAX.0);
    /// How many of an item.
    Count = whole(0, i64::try_from(ON_HAND_MAX).unwrap_or(i64::MAX));
    /// The number of an order's committed change: 1 as placed, then up by one with each.
    OrderVersion = whole(1, u32::MAX.into());
    /// Degrees north, WGS 84.
    Latitude = degrees(90.0);
    /// Degrees east, WGS 84.
    Longitude = degrees(180.0);
    /// A time of RFC 3339; the server writes UTC with milliseconds.
    Time = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-01-31T12:00:00.250Z"])
        .build();
}

/// Visible ASCII characters.
const VISIBLE_ASCII: &str = "^[!-~]+$";

/// Visible ASCII characters but `.` and `..`.
const ADDRESSABLE: &str = r"^(?!\.{1,2}$)[!-~]+$";

/// Any text that a database keeps.
const NO_NUL: &str = r"^[^\u0000]*$";

/// A string that is one of `names`.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
        .build()
}

/// A string of `min` to `max` characters that matches `pattern`.
pub fn matching(pattern: &str, min: usize, max: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .min_length(Some(min))
        .max_length(Some(max))
        .build()
}

/// 1 to `max` visible ASCII characters.
pub fn visible_ascii(max: usize) -> Object {
    matching(VISIBLE_ASCII, 1, max)
}

/// 1 to `max` characters, of which one at least can be seen and none is U+0000.
pub fn visible_text(max: usize) -> Object {
    matching(&with_visible(), 1, max)
}

/// A whole number from `min` to `max`.
pub fn whole(min: i64, max: i64) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(min))
        .maximum(Some(max))
        .build()
}

fn degrees(max: f64) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
        .minimum(Some(-max))
        .maximum(Some(max))
        .build()
}

/// A pattern of the texts that [`visible::has_visible`] accepts and that have no U+0000. It knows the blank characters
/// up to U+FFFF only: beyond, no range means the same in every language.
fn with_visible() -> String {
    let mut blank = String::new();
    for (first, last) in visible::blank().filter(|(_, last)| *last <= 0xFFFF) {
        // Writing to a String has no way to fail.
        let _ = write!(blank, "\\u{first:04x}-\\u{last:04x}");
    }
    format!(r"^[^\u0000]*[^{blank}][^\u0000]*$")
}
