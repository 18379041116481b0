//! Whatever comes over the bus becomes a command or a dead letter, and a dead letter that is sent again is the
//! message that was parked.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use trackops_domain::command::Command;
use trackops_domain::placed::limits;
use trackops_domain::time::Timestamp;

use super::dead_letters::describe;
use super::envelope;
use super::handler::Reason;
use super::orders::{TOPICS, command_request};
use super::parking::{self, headers};
use crate::codec::damaged::{damage, damaged};
use crate::codec::{samples, trace};
use crate::model::topic::Topic;
use crate::ports::bus::{HeaderName, InMessage, RawMessage, header_name};

const NOW: Timestamp = Timestamp(1_769_860_800_000);

fn topic() -> impl Strategy<Value = Topic> {
    any::<prop::sample::Index>().prop_map(|which| *which.get(&Topic::ALL))
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

/// A key or a header that names the order, another, or none.
fn name() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::from(samples::id().to_string())),
        any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).to_string().into()),
        "[0-9a-fA-F{}-]{0,38}".prop_map(Bytes::from),
        Just(Bytes::from_static(samples::TRACEPARENT.as_bytes())),
        bytes(),
    ]
}

fn message_headers() -> impl Strategy<Value = BTreeMap<HeaderName, Bytes>> {
    let known = prop_oneof![
        Just("ce_id"),
        Just("ce_source"),
        Just("ce_subject"),
        Just("traceparent"),
        Just("own"),
        Just(headers::SENT_AGAIN),
        Just(headers::PARTITION),
        Just(headers::OFFSET),
        Just(headers::LEFT_OUT),
    ];
    btree_map(known.prop_map(header_name), name(), 0..5)
}

fn message(payload: impl Strategy<Value = Bytes>) -> impl Strategy<Value = InMessage> {
    let place = (topic(), any::<i32>(), any::<i64>());
    (
        place,
        option::of(name()),
        message_headers(),
        option::of(payload),
    )
        .prop_map(
            |((topic, partition, offset), key, headers, payload)| InMessage {
                topic: topic.as_str().into(),
                partition,
                offset,
                key,
                headers,
                payload,
                timestamp_ms: offset,
            },
        )
}

/// What inventory and fulfilment say, all in one.
fn said() -> String {
    let id = samples::id();
    format!(
        r#"{{"orderId":"{id}","status":"PREPARING","at":"2026-01-31T12:00:00Z","by":"kitchen-1","courierId":"anna","reason":"no","failedItems":["A"]}}"#
    )
}

fn read(message: &InMessage) -> Result<(), TestCaseError> {
    prop_assert_eq!(envelope::traceparent(message).len(), trace::LEN);
    let _ = envelope::order_of(message);
    let Ok(request) = command_request(message, NOW) else {
        return Ok(());
    };
    prop_assert!(TOPICS.iter().any(|topic| *topic.as_str() == *message.topic));
    prop_assert_eq!(request.id, envelope::command_id(request.order, message));
    prop_assert!(
        (1..=64).contains(&request.caller.by().chars().count()),
        "{:?}",
        request.caller
    );
    if let Command::Cancel { reason } | Command::StockRefused { reason } = &request.command {
        prop_assert!((1..=limits::REASON_CHARS_MAX).contains(&reason.chars().count()));
    }
    Ok(())
}

fn arrived(raw: RawMessage) -> InMessage {
    let headers = raw
        .headers
        .iter()
        .map(|(name, value)| (header_name(name), value.clone()));
    InMessage {
        topic: raw.topic,
        partition: 3,
        offset: 7,
        key: raw.key,
        headers: headers.collect(),
        payload: raw.payload,
        timestamp_ms: 0,
    }
}

proptest! {
    #[test]
    fn any_message_is_a_command_or_a_dead_letter(message in message(bytes())) {
        read(&message)?;
    }

    #[test]
    fn a_damaged_message_is_a_command_or_a_dead_letter(
        mut message in message(Just(Bytes::from(said()))), damage in damage(), is_whole in any::<bool>(),
    ) {
        read(&message)?;
        if !is_whole {
            message.payload = Some(damaged(said().as_bytes(), &damage).into());
        }
        read(&message)?;
    }

    #[test]
    fn a_dead_letter_is_sent_again_as_it_came(message in message(bytes()), detail in any::<String>()) {
        let reason = Reason::new("code", detail);
        let letter = arrived(parking::letter("group", &message, &reason, NOW));
        let topic = Topic::parse(&message.topic).expect("ours");
        let shown = describe(topic, &letter);
        prop_assert_eq!(shown.origin, Some((message.partition, message.offset)));
        prop_assert_eq!(&*shown.code, "code");
        let again = arrived(parking::unpark(&letter, Arc::clone(&message.topic)));
        prop_assert_eq!((&again.key, &again.payload), (&message.key, &message.payload));
        let own = |message: &InMessage| -> BTreeMap<_, _> {
            let ours = |name: &str| name.starts_with(headers::PREFIX) || name == headers::SENT_AGAIN;
            message.headers.clone().into_iter().filter(|(name, _)| !ours(name)).collect()
        };
        prop_assert_eq!(own(&again), own(&message));
        // It is the same command to its order, however often it is sent again.
        let order = samples::id();
        prop_assert_eq!(envelope::command_id(order, &again), envelope::command_id(order, &message));
        let letter = arrived(parking::letter("group", &again, &reason, NOW));
        let twice = arrived(parking::unpark(&letter, Arc::clone(&message.topic)));
        prop_assert_eq!(envelope::command_id(order, &twice), envelope::command_id(order, &message));
    }

    #[test]
    fn any_dead_letter_is_shown(letter in message(bytes())) {
        let topic = Topic::parse(&letter.topic).expect("ours");
        let _ = (describe(topic, &letter), parking::unpark(&letter, Arc::clone(&letter.topic)));
    }
}
