//! Whole numbers as JSON Schema has them: `2`, `2.0` and `2e0` are the same integer. A number written with a
//! fraction or an exponent counts as whole if every reader's floating point holds it exactly.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde_json::Value;

/// Up to 2^53 binary64 (IEEE 754) holds every whole number exactly.
const EXACT_MAX: i64 = 1 << 53;

/// The parser's result may be wrong in its last bit. Up to 2^50 that can't turn it into another whole number.
const PARSED_MAX: f64 = 1_125_899_906_842_624.0;

/// The whole number that `value` is, if the parser's result is certain.
pub fn of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| of_float(value.as_f64()?))
}

fn of_float(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^50")]
    let whole = || value as i64;
    (value.fract() == 0.0 && value.abs() <= PARSED_MAX).then(whole)
}

/// The whole number that `text`, a JSON number, stands for, if it is one. It is read by its digits, so it is
/// exact.
pub fn of_text(text: &str) -> Option<i64> {
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{units}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // How many digits after the first the decimal point is.
    let point = exponent.parse::<i64>().ok()?;
    let point = point.checked_add(i64::try_from(units.len()).ok()?)?;
    let zeros = usize::try_from(point)
        .ok()?
        .checked_sub(significant.len())?;
    if zeros > 20 {
        return None;
    }
    let whole = format!("{significant}{}", "0".repeat(zeros))
        .parse::<i64>()
        .ok()?;
    (whole <= EXACT_MAX).then_some(sign * whole)
}

/// For `#[serde(deserialize_with = "whole::read")]`.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_i64(Whole)
}

/// For `#[serde(default, deserialize_with = "whole::optional")]`.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_option(Optional)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
        i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i64, E> {
        of_float(value).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }
}

struct Optional;

impl<'de> Visitor<'de> for Optional {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        read(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Form {
        #[serde(deserialize_with = "read")]
        one: i64,
        #[serde(default, deserialize_with = "optional")]
        other: Option<i64>,
    }

    fn form(one: &str) -> Option<i64> {
        let text = format!(r#"{{"one":{one},"other":{one}}}"#);
        let value = serde_json::from_str::<Value>(&text).ok();
        let by_value = value.as_ref().and_then(|value| of(&value["one"]));
        let form = serde_json::from_str::<Form>(&text).ok();
        assert_eq!(form.as_ref().map(|form| form.one), by_value, "{one}");
        assert_eq!(form.as_ref().and_then(|form| form.other), by_value, "{one}");
        by_value
    }

    #[test]
    fn whole_is_whole_however_it_is_written() {
        for (text, whole) in [
            ("2", 2),
            ("2.0", 2),
            ("1e3", 1_000),
            ("1.5e1", 15),
            ("-0.0", 0),
            ("-7.0", -7),
            ("1125899906842624.0", 1 << 50),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(form(text), Some(whole), "{text}");
            assert_eq!(of_text(text), Some(whole), "{text}");
        }
        for (text, whole) in [
            ("9007199254740992.0", 1 << 53),
            ("9007199254740991.0", (1 << 53) - 1),
            ("1815673572548507.0", 1_815_673_572_548_507),
            ("0.00000000000000000000002e23", 2),
            ("20000000000000000000000000e-25", 2),
            ("0e999", 0),
            ("-9.007199254740991E+15", 1 - (1 << 53)),
        ] {
            assert_eq!(of_text(text), Some(whole), "{text}");
        }
        for text in [
            "1.5",
            "1e-3",
            "9007199254740993.0",
            "9007199254740991.5",
            "2.00000000000000000000001",
            "1e300",
            "1e99999999999999999999",
            "9223372036854775808",
            "1e400",
            "\"2\"",
            "true",
            "[2]",
        ] {
            assert_eq!(of_text(text), None, "{text}");
            if text.len() < 20 {
                assert_eq!(form(text), None, "{text}");
            }
        }
        let none: Form = serde_json::from_str(r#"{"one":1,"other":null}"#).expect("a form");
        assert_eq!(none.other, None);
    }

    proptest! {
        #[test]
        fn every_exact_float_is_its_integer(whole in -(1_i64 << 53)..=1 << 53) {
            prop_assert_eq!(of_text(&format!("{whole}.0")), Some(whole));
            prop_assert_eq!(of_text(&format!("{whole}00e-2")), Some(whole));
            prop_assert_eq!(form(&whole.to_string()), Some(whole));
            // The parser alone gives the same number, or leaves it to the digits.
            let parsed = form(&format!("{whole}.000"));
            prop_assert!(parsed.is_none_or(|parsed| parsed == whole), "{:?}", parsed);
            let small = whole >> 20;
            prop_assert_eq!(form(&format!("{small}.0")), Some(small));
        }
    }
}
