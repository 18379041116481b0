//! The laws of every form, by property tests. A written value is read back unchanged, and every value that is
//! read can be written. Bad input (cut off, mangled, of another type) is refused without a panic.

mod arbitrary;
mod kinds;

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trackops_domain::ids::Version;
use trackops_domain::saga::intents;

use self::arbitrary::{
    answer, mangled, message, order, placed, position, request, strange, text, time,
    timestamp_text, uuid, written_time,
};
use super::content::ContentV1;
use super::damaged::{damage, damaged, nested};
use super::link::{Answer, Message, Request};
use super::live;
use super::message_id::{self, Publisher, message_id};
use super::messages::{
    FulfillmentUpdateV1, InventoryReplyV1, OrderEndedV1, StatusUpdatedV1, headers, outbox_rows,
};
use super::view::{self, HistoryEntry, OrderView};
use super::{rfc3339, samples, stored};
use crate::model::event_row::EventRow;
use crate::model::outbox_row::{OutboxEntry, RowId};
use crate::model::topic::Topic;

/// Writes, reads and writes again; both texts must be the same.
fn stays<T: Serialize + DeserializeOwned>(value: &T) -> Result<(), TestCaseError> {
    let written = serde_json::to_string(value).expect("it is written");
    comes_back::<T>(written.as_bytes())
}

/// Reads and writes again; the text must be the same.
fn comes_back<T: Serialize + DeserializeOwned>(written: &[u8]) -> Result<(), TestCaseError> {
    let shown = String::from_utf8_lossy(written);
    let read: T = serde_json::from_slice(written)
        .map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
    prop_assert_eq!(serde_json::to_string(&read).expect("again"), shown);
    Ok(())
}

fn is_rfc3339(text: &str) -> bool {
    let shape = text.bytes().zip(*b"0000-00-00T00:00:00.000Z");
    text.len() == 24
        && shape.into_iter().all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        })
}

proptest! {
    #[test]
    fn every_time_is_written_as_rfc_3339(at in time()) {
        let written = rfc3339::format(at);
        prop_assert!(is_rfc3339(&written), "{} for {:?}", written, at);
        prop_assert!(rfc3339::parse(&written).is_some());
    }

    #[test]
    fn a_time_that_can_be_written_comes_back(at in written_time()) {
        prop_assert_eq!(rfc3339::parse(&rfc3339::format(at)), Some(at));
    }

    #[test]
    fn a_time_that_is_read_can_be_written(text in timestamp_text()) {
        if let Some(at) = rfc3339::parse(&text) {
            let written = rfc3339::format(at);
            prop_assert!(is_rfc3339(&written), "{} became {}", text, written);
            prop_assert_eq!(rfc3339::parse(&written), Some(at), "{}", text);
        }
    }

    #[test]
    fn content_comes_back(placed in placed()) {
        let form = ContentV1::of(&placed);
        stays(&form)?;
        let checked = form.check();
        prop_assert!(checked.is_ok(), "{:?}", checked);
        prop_assert_eq!(checked.expect("just looked"), placed);
    }

    #[test]
    fn a_stored_order_comes_back((order, _) in order()) {
        let rows = stored::event_rows(&order);
        let saga = stored::saga(&order);
        let read = stored::assemble(order.id, &saga, order.saga.deadline, &rows);
        prop_assert_eq!(read.expect("ours"), order);
    }

    #[test]
    fn views_and_frames_come_back((order, _) in order(), position in option::of(position())) {
        comes_back::<OrderView>(&view::render(&order))?;
        let shown = view::with_position(&view::render(&order), position);
        comes_back::<OrderView>(&shown)?;
        for entry in view::history(&order) {
            stays::<HistoryEntry>(&entry)?;
        }
        let located = position.map(|position| live::location(order.id, position));
        let updates = (0..7).filter_map(|version| live::update(&order, Version(version)));
        let frames = updates.chain(located).chain([live::snapshot(&order, position)]);
        for frame in frames {
            let frame: Value = serde_json::from_slice(&frame).expect("JSON");
            prop_assert!(frame["type"].is_string(), "{}", frame);
        }
    }

    #[test]
    fn published_messages_come_back((order, event) in order(), trace in option::of("[ -~]{55}")) {
        let (all, trace) = (intents(&event), trace.map(Arc::from));
        for row in outbox_rows(&order, all, all, trace.as_ref()) {
            match row.topic {
                Topic::OrderCreated => comes_back::<OrderView>(&row.payload)?,
                Topic::OrderStatusUpdated => comes_back::<StatusUpdatedV1>(&row.payload)?,
                _ => comes_back::<OrderEndedV1>(&row.payload)?,
            }
            let id = row.id;
            let entry = OutboxEntry { row_id: RowId { lane: 0, seq: 0 }, order: order.id, row };
            let headers = headers(&entry, "order");
            let header = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, is)| &**is);
            prop_assert_eq!(header("ce_id").and_then(message_id::parse), Some(id));
            prop_assert!(header("ce_time").is_some_and(is_rfc3339));
            let topic = header("ce_type").and_then(Topic::parse);
            prop_assert_eq!(topic, Some(entry.row.topic));
        }
    }

    #[test]
    fn replies_and_reports_come_back(
        id in uuid(), at in written_time(), reason in option::of(text(40)), items in vec(text(40), 0..3),
    ) {
        stays(&InventoryReplyV1 {
            order_id: id,
            at,
            reason: reason.clone().map(Into::into),
            failed_items: items.into_iter().map(Into::into).collect(),
        })?;
        stays(&FulfillmentUpdateV1 {
            order_id: id,
            status: "PREPARING".into(),
            at: Some(rfc3339::format(at)),
            by: reason.map(Into::into),
        })?;
    }

    #[test]
    fn what_replicas_say_comes_back(request in request(), answer in answer(), message in message()) {
        let again = Request::decode(&request.encode()).map(|read| read.encode());
        prop_assert_eq!(again.expect("ours"), request.encode());
        let again = Answer::decode(&answer.encode()).map(|read| read.encode());
        prop_assert_eq!(again.expect("ours"), answer.encode());
        let again = Message::decode(&message.encode()).map(|read| read.encode());
        prop_assert_eq!(again.expect("ours"), message.encode());
    }

    #[test]
    fn what_is_no_form_is_refused(bytes in vec(any::<u8>(), 0..200), text in any::<String>()) {
        read_all(&bytes);
        read_all(text.as_bytes());
        let _ = (rfc3339::parse(&text), message_id::parse(&text), Topic::parse(&text));
    }

    #[test]
    fn a_form_with_a_strange_value_does_not_panic(
        place in any::<prop::sample::Index>(), strange in strange(), cut in any::<prop::sample::Index>(),
        (order, _) in order(), request in request(), answer in answer(), message in message(),
    ) {
        let forms = [
            view::render(&order), stored::saga(&order), request.encode(), answer.encode(),
            message.encode(),
        ];
        for form in forms {
            read_all(&form[..cut.index(form.len())]);
            read_all(&mangled(&form, place, strange.clone()));
        }
        let mut rows = stored::event_rows(&order);
        let row: &mut EventRow = place.get_mut(&mut rows);
        row.data = row.data.as_ref().map(|data| mangled(data, place, strange));
        let _ = stored::assemble(order.id, &stored::saga(&order), None, &rows);
        rows.reverse();
        let _ = stored::assemble(order.id, &stored::saga(&order), None, &rows);
    }

    #[test]
    fn a_damaged_form_is_read_or_refused(
        damage in damage(), (order, event) in order(), request in request(), answer in answer(),
        message in message(),
    ) {
        let all = intents(&event);
        let published = outbox_rows(&order, all, all, None).into_iter().map(|row| row.payload);
        let frames = [live::snapshot(&order, None), view::render(&order), stored::saga(&order)];
        let linked = [request.encode(), answer.encode(), message.encode()];
        for form in published.chain(frames).chain(linked) {
            read_all(&damaged(&form, &damage));
        }
        let mut rows = stored::event_rows(&order);
        for row in &mut rows {
            row.data = row.data.as_ref().map(|data| damaged(data, &damage).into());
        }
        if let Ok(read) = stored::assemble(order.id, &stored::saga(&order), None, &rows) {
            let rows = stored::event_rows(&read);
            let again = stored::assemble(read.id, &stored::saga(&read), None, &rows);
            prop_assert_eq!(again.expect("what was read can be stored"), read);
        }
    }

    #[test]
    fn any_moment_makes_an_id(version in any::<u32>(), ordinal in any::<u16>(), at in time()) {
        let id = message_id(Publisher::Inventory, samples::id(), version, ordinal, at);
        prop_assert_eq!(message_id::parse(&id.to_string()), Some(id));
    }
}

#[test]
fn nesting_beyond_every_depth_is_refused() {
    let (order, _) = samples::order(&[]);
    let answer = Answer::Order(Arc::new(order.clone())).encode();
    let rows = stored::event_rows(&order);
    let placed = rows
        .first()
        .and_then(|row| row.data.clone())
        .expect("content");
    for form in [view::render(&order), stored::saga(&order), answer, placed] {
        for text in nested(&form) {
            read_all(&text);
            let mut rows = rows.clone();
            if let Some(first) = rows.first_mut() {
                first.data = Some(text.into());
            }
            let _ = stored::assemble(order.id, &stored::saga(&order), None, &rows);
        }
    }
}

/// Reads `bytes` as every form. No outcome may be a panic, and every accepted value must be writable.
fn read_all(bytes: &[u8]) {
    if let Ok(content) = serde_json::from_slice::<ContentV1>(bytes)
        && let Ok(placed) = content.check()
    {
        serde_json::to_vec(&ContentV1::of(&placed)).expect("it is written");
    }
    if let Ok(view) = serde_json::from_slice::<OrderView>(bytes) {
        serde_json::to_vec(&view).expect("it is written");
        assert!(is_rfc3339(&rfc3339::format(view.created_at)));
    }
    let _ = serde_json::from_slice::<HistoryEntry>(bytes);
    let _ = serde_json::from_slice::<StatusUpdatedV1>(bytes);
    let _ = serde_json::from_slice::<OrderEndedV1>(bytes);
    let _ = serde_json::from_slice::<InventoryReplyV1>(bytes);
    let _ = serde_json::from_slice::<FulfillmentUpdateV1>(bytes);
    let _ = stored::assemble(samples::id(), bytes, None, &[]);
    let _ = Request::decode(bytes).map(|read| read.encode());
    let _ = Answer::decode(bytes).map(|read| read.encode());
    let _ = Message::decode(bytes).map(|read| read.encode());
}
