//! Whatever comes over the bus becomes a request to the stock or a dead letter.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use trackops_domain::placed::limits;
use trackops_domain::stock::Request;

use super::TOPICS;
use super::requests::stock_request;
use crate::codec::damaged::{damage, damaged};
use crate::codec::{samples, view};
use crate::model::topic::Topic;
use crate::ports::bus::InMessage;

fn message(topic: &str, payload: Vec<u8>) -> InMessage {
    InMessage {
        topic: topic.into(),
        partition: 0,
        offset: 0,
        key: None,
        headers: BTreeMap::new(),
        payload: Some(Bytes::from(payload)),
        timestamp_ms: 0,
    }
}

fn read(message: &InMessage) -> Result<(), TestCaseError> {
    let Ok(request) = stock_request(message) else {
        return Ok(());
    };
    if let Request::Reserve(demand) = request.request {
        let most = u64::from(limits::QUANTITY_MAX) * limits::ITEMS_MAX as u64;
        prop_assert!((1..=limits::ITEMS_MAX).contains(&demand.len()));
        prop_assert!(demand.is_sorted_by(|(one, _), (next, _)| one < next));
        prop_assert!(demand.iter().all(|(_, count)| (1..=most).contains(count)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_message_is_a_request_or_a_dead_letter(bytes in vec(any::<u8>(), 0..60), damage in damage()) {
        let order = samples::order(&[]).0;
        let ended = format!(r#"{{"orderId":"{}","version":2,"at":"2026-01-31T12:00:00Z"}}"#, order.id);
        for topic in TOPICS.map(Topic::as_str).into_iter().chain(["ORDER_STATUS_UPDATED", "x"]) {
            read(&message(topic, bytes.clone()))?;
            read(&message(topic, damaged(&view::render(&order), &damage)))?;
            read(&message(topic, damaged(ended.as_bytes(), &damage)))?;
        }
    }
}
