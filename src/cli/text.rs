//! Small pieces of text for people: ids, money, times, and text from outside.

use trackops_client::Timestamp;
use uuid::Uuid;

/// Currencies without minor units, and with thousandths (ISO 4217).
const NO_DECIMALS: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
    "XAF", "XOF", "XPF",
];
const THREE_DECIMALS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// The end of an order's id. The beginning is a time (RFC 9562), which is the same for all orders of a
/// minute.
pub fn short_id(id: Uuid) -> String {
    let text = id.as_hyphenated().to_string();
    format!("…{}", &text[text.len() - 8..])
}

/// What follows an author's name if a courier was named with the change.
pub fn with_courier(courier: Option<&str>) -> String {
    courier.map_or_else(String::new, |courier| format!(", courier {courier}"))
}

/// `9.50 EUR`.
pub fn money(minor: i64, currency: &str) -> String {
    let decimals = if NO_DECIMALS.contains(&currency) {
        0
    } else if THREE_DECIMALS.contains(&currency) {
        3
    } else {
        2
    };
    let currency = printable(currency);
    if decimals == 0 {
        return format!("{minor} {currency}");
    }
    let unit = 10_u64.pow(decimals);
    let (sign, amount) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs());
    let width = decimals as usize;
    format!(
        "{sign}{}.{:0width$} {currency}",
        amount / unit,
        amount % unit
    )
}

/// The time of day in UTC: `12:00:00.000Z`.
pub fn time_of_day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T')
        .map_or_else(|| text.clone(), |(_, time)| time.to_owned())
}

/// A body that was read as JSON, in one line, with every field that the server sent.
pub fn json_line(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    value.to_string()
}

/// Text from outside, without control characters that a terminal would obey.
pub fn printable(text: &str) -> String {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if harmful(c) { ' ' } else { c })
        .collect()
}

/// Labels and values, a line each, the labels `width` wide.
pub fn table(rows: &[(&str, String)], width: usize) -> String {
    let mut text = String::new();
    for (label, value) in rows {
        text.extend([&format!("{label:<width$} "), &*printable(value), "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_its_currency_s_decimals() {
        assert_eq!(money(950, "EUR"), "9.50 EUR");
        assert_eq!(money(5, "EUR"), "0.05 EUR");
        assert_eq!(money(950, "JPY"), "950 JPY");
        assert_eq!(money(1_005, "KWD"), "1.005 KWD");
    }

    #[test]
    fn times_and_ids_are_short() {
        assert_eq!(time_of_day(Timestamp::from_unix_ms(1_500)), "00:00:01.500Z");
        assert_eq!(short_id(Uuid::from_u128(0xabcd)), "…0000abcd");
    }
}
