//! Valid texts with damage, for the tests of readers: cut off, with turned bits, with pieces taken out or put
//! in, with fields given twice, and with values that are out of every range or too deep. Leaves to each
//! reader's test what it must do with them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::de::IgnoredAny;

/// Deeper than the parsers go.
const DEEP: usize = 300;

/// One fault.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// The rest is missing.
    Cut(Index),
    /// One bit of a byte is turned.
    Turned(Index, u8),
    /// Foreign bytes stand in between.
    PutIn(Index, Vec<u8>),
    /// Some bytes are missing.
    TakenOut(Index, usize),
    /// A field of a JSON object is given twice.
    Twice(Index),
    /// Another JSON value stands in the place of one.
    Instead(Index, String),
}

/// Up to three faults.
pub(crate) fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Damage::Turned(at, bit)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..5)).prop_map(|(at, put)| Damage::PutIn(at, put)),
        1 => (any::<Index>(), 1_usize..9).prop_map(|(at, count)| Damage::TakenOut(at, count)),
        1 => any::<Index>().prop_map(Damage::Twice),
        4 => (any::<Index>(), instead()).prop_map(|(at, value)| Damage::Instead(at, value)),
    ];
    vec(one, 1..4)
}

/// A JSON value at or beyond an edge.
fn instead() -> impl Strategy<Value = String> {
    const VALUES: [&str; 26] = [
        "null",
        "true",
        "-0",
        "0.5",
        "-1",
        "256",
        "65536",
        "2147483648",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551616",
        "1e9999",
        "1e-9999",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"+0\"",
        "[]",
        "[[],[]]",
        "{}",
        "{\"\":0}",
        "\"-9999-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:60.999999999-23:59\"",
    ];
    prop_oneof![
        12 => any::<Index>().prop_map(|which| (*which.get(&VALUES)).to_owned()),
        1 => (1..DEEP).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
        1 => (1..DEEP).prop_map(|depth| "{\"a\":".repeat(depth) + "0" + &"}".repeat(depth)),
        1 => (1..DEEP).prop_map(|depth| "[".repeat(depth)),
        2 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        2 => "-?[0-9]{1,40}(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,6})?",
    ]
}

/// `text` with a value in every place that is deep enough to overflow the stack of a reader without a limit.
pub(crate) fn nested(text: &[u8]) -> Vec<Vec<u8>> {
    let depth = 100_000;
    let deep = "[".repeat(depth) + &"]".repeat(depth);
    let instead = |(_, start, end): (Option<usize>, usize, usize)| {
        [&text[..start], deep.as_bytes(), &text[end..]].concat()
    };
    places(text).into_iter().map(instead).collect()
}

/// `text` with every fault of `damage`, one after the other.
pub(crate) fn damaged(text: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut text = text.to_vec();
    for fault in damage {
        strike(&mut text, fault);
    }
    text
}

fn strike(text: &mut Vec<u8>, fault: &Damage) {
    if text.is_empty() {
        return;
    }
    match fault {
        Damage::Cut(at) => text.truncate(at.index(text.len())),
        Damage::Turned(at, bit) => {
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
        }
        Damage::PutIn(at, put) => {
            let at = at.index(text.len() + 1);
            text.splice(at..at, put.iter().copied());
        }
        Damage::TakenOut(at, count) => {
            let at = at.index(text.len());
            let end = text.len().min(at + count);
            text.drain(at..end);
        }
        Damage::Twice(at) => {
            let fields = places(text);
            let fields: Vec<_> = fields.iter().filter(|(key, ..)| key.is_some()).collect();
            if !fields.is_empty() {
                let (key, _, end) = *at.get(&fields);
                let start = key.unwrap_or(*end);
                let mut again = text[start..*end].to_vec();
                again.push(b',');
                text.splice(start..start, again);
            }
        }
        Damage::Instead(at, value) => {
            let values = places(text);
            if !values.is_empty() {
                let (_, start, end) = *at.get(&values);
                text.splice(start..end, value.bytes());
            }
        }
    }
}

/// Every JSON value in `text`, as far as it is JSON: where its name begins if it is a field, where it begins
/// itself, and where it ends.
fn places(text: &[u8]) -> Vec<(Option<usize>, usize, usize)> {
    let mut found = Vec::new();
    let (mut at, mut name) = (0, None);
    while at < text.len() {
        let begins = match text[at] {
            b'"' => {
                let Some(end) = end_of(text, at) else { break };
                name = Some(at);
                at = end;
                continue;
            }
            b':' => name.take().map(|name| (Some(name), at + 1)),
            b'[' | b',' => Some((None, at + 1)),
            _ => None,
        };
        if let Some((name, start)) = begins
            && text.get(start).is_some_and(|next| *next != b']')
            && let Some(end) = end_of(text, start)
            // A comma in an object is followed by a name.
            && !(name.is_none() && text.get(end) == Some(&b':'))
        {
            found.push((name, start, end));
        }
        at += 1;
    }
    if let Some(end) = end_of(text, 0) {
        found.push((None, 0, end));
    }
    found
}

/// Where the JSON value that begins at `start` ends.
fn end_of(text: &[u8], start: usize) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(text.get(start..)?).into_iter();
    let value: Option<Result<IgnoredAny, _>> = values.next();
    value?.ok()?;
    Some(start + values.byte_offset())
}

#[test]
fn every_value_of_a_text_is_found() {
    let text = br#"{"a":[1,{"b":"x,:[\""}],"c":null}"#;
    let found: Vec<_> = places(text)
        .into_iter()
        .map(|(name, start, end)| {
            let part =
                |from: usize, to: usize| String::from_utf8_lossy(&text[from..to]).into_owned();
            (name.map(|name| part(name, start)), part(start, end))
        })
        .collect();
    let named = |name: &str, value: &str| (Some(name.to_owned()), value.to_owned());
    let plain = |value: &str| (None, value.to_owned());
    let whole = String::from_utf8_lossy(text).into_owned();
    assert_eq!(
        found,
        [
            named("\"a\":", r#"[1,{"b":"x,:[\""}]"#),
            plain("1"),
            plain(r#"{"b":"x,:[\""}"#),
            named("\"b\":", r#""x,:[\"""#),
            named("\"c\":", "null"),
            plain(&whole),
        ]
    );
}
