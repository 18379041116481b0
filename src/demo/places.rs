//! The shop and its customers' addresses in Berlin, and the way between.

use uuid::Uuid;

/// A point on the map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees, WGS 84.
    pub lat: f64,
    /// Degrees, WGS 84.
    pub lon: f64,
}

/// The shop, by Moritzplatz.
pub const SHOP: Point = Point {
    lat: 52.5035,
    lon: 13.4106,
};

/// Streets with their postal codes and a house on each.
pub const STREETS: [(&str, &str, Point); 10] = [
    ("Oranienstraße 187", "10999", at(52.5012, 13.4189)),
    ("Skalitzer Straße 33", "10999", at(52.4990, 13.4260)),
    ("Bergmannstraße 102", "10961", at(52.4892, 13.3896)),
    ("Sonnenallee 66", "12045", at(52.4844, 13.4321)),
    ("Karl-Marx-Allee 78", "10243", at(52.5173, 13.4390)),
    ("Torstraße 125", "10119", at(52.5297, 13.4003)),
    ("Kastanienallee 12", "10435", at(52.5392, 13.4101)),
    ("Simon-Dach-Straße 9", "10245", at(52.5108, 13.4569)),
    ("Potsdamer Straße 91", "10785", at(52.5006, 13.3641)),
    ("Müllerstraße 40", "13353", at(52.5461, 13.3572)),
];

const fn at(lat: f64, lon: f64) -> Point {
    Point { lat, lon }
}

/// The point on the straight line from `from` to `to`, after `fraction` (0 to 1) of the way.
pub fn along(from: Point, to: Point, fraction: f64) -> Point {
    let fraction = fraction.clamp(0.0, 1.0);
    Point {
        lat: from.lat + (to.lat - from.lat) * fraction,
        lon: from.lon + (to.lon - from.lon) * fraction,
    }
}

/// A destination for an order whose address has no coordinates: one of the streets, always the same for one
/// order.
pub fn somewhere(order: Uuid) -> Point {
    let index = usize::from(order.as_bytes()[15]) % STREETS.len();
    STREETS[index].2
}
