//! Whatever a client sends is read or refused, never a panic; and what the server writes for clients to send
//! back is read again as it was.

use std::str::FromStr as _;

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version as Http};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use trackops_domain::ids::{OrderId, Sku, Version};
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;

use super::admin::dead_letter_admin::DeadLetterId;
use super::inventory::{AdjustmentBody, OnHandBody};
use super::orders::{CancelBody, LocationBody, StatusBody};
use super::params::Query;
use super::problem_code::Code;
use super::request_headers::Trace;
use super::track::messages::{self, Wanted};
use super::{cursor, etag, json, request_head, request_headers, shape};
use crate::codec::content::ContentV1;
use crate::codec::damaged::{damage, damaged, nested};
use crate::codec::{samples, trace};
use crate::model::topic::Topic;

/// Any value that a header can have.
fn header_value() -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![4 => 0x20_u8..0x7f, 1 => 0x80_u8..=0xff, 1 => Just(b'\t')];
    let any = vec(byte, 0..40);
    let listed = "[ \t,*\"W/0-9a-z\\-]{0,40}".prop_map(String::into_bytes);
    prop_oneof![any, listed].prop_map(|bytes| HeaderValue::from_bytes(&bytes).expect("visible"))
}

fn headers(name: &HeaderName, values: Vec<HeaderValue>) -> HeaderMap {
    values
        .into_iter()
        .map(|value| (name.clone(), value))
        .collect()
}

/// Any time at which an order can have been placed.
fn placed_at() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_000..=253_402_300_799_999_i64).prop_map(Timestamp)
}

fn sku() -> impl Strategy<Value = Sku> {
    "[!-~]{1,64}".prop_map(|text| Sku::parse(&text).expect("visible characters"))
}

proptest! {
    #[test]
    fn any_condition_is_evaluated_or_refused(values in vec(header_value(), 0..3), version in any::<u32>()) {
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            let headers = headers(&name, values.clone());
            let refused = [
                etag::if_match(&headers).err(),
                etag::if_none_match(&headers, Version(version)).err(),
                etag::named(&headers, &name).err(),
            ];
            for problem in refused.into_iter().flatten() {
                prop_assert_eq!(problem.code(), Code::InvalidHeader);
            }
            prop_assert_eq!(etag::refuse_all(&headers).is_ok(), values.is_empty());
        }
    }

    #[test]
    fn a_tag_comes_back_as_its_version(
        versions in vec((any::<u32>(), any::<bool>()), 1..10), other in any::<u32>(), lines in any::<bool>(),
    ) {
        // No order has a version 0, so `"0"` is a tag that is never given.
        let versions = || versions.iter().filter(|(version, _)| *version > 0);
        let tags: Vec<String> = versions()
            .map(|(version, weak)| {
                let tag = etag::of(Version(*version));
                let tag = tag.to_str().expect("visible");
                if *weak { format!("W/{tag}") } else { tag.to_owned() }
            })
            .collect();
        let tags = if lines { tags } else { vec![tags.join(" ,, ")] };
        let values = || tags.iter().map(|tag| HeaderValue::from_str(tag).expect("visible")).collect();
        let strong: Vec<_> = versions().filter(|(_, weak)| !weak).map(|(version, _)| Version(*version)).collect();
        let named = etag::if_match(&headers(&header::IF_MATCH, values()));
        if versions().next().is_some() {
            prop_assert_eq!(named.expect("tags"), Some(strong));
            let known = versions().any(|(version, _)| *version == other);
            let matches = etag::if_none_match(&headers(&header::IF_NONE_MATCH, values()), Version(other));
            prop_assert_eq!(matches.expect("tags"), known);
        }
    }

    #[test]
    fn any_cursor_is_read_or_refused(text in any::<String>(), digits in "[0-9a-f]{0,200}") {
        for text in [text, digits] {
            if let Ok((at, id)) = cursor::order(&text) {
                prop_assert_eq!(cursor::of_order(at, id), &*text);
            }
            if let Ok(sku) = cursor::sku(&text) {
                prop_assert_eq!(cursor::of_sku(&sku), &*text);
            }
            if let Ok(id) = cursor::number(&text) {
                prop_assert_eq!(cursor::before_number(id), &*text);
            }
            if let Ok(id) = cursor::letter(&text) {
                // The path of a letter, in decimals.
                let _ = cursor::after_letter(&id);
            }
        }
    }

    #[test]
    fn a_cursor_comes_back(
        at in placed_at(), id in any::<u128>(), sku in sku(), number in any::<i64>(),
        topic in any::<prop::sample::Index>(), partition in any::<i32>(), offset in any::<i64>(),
    ) {
        let id = OrderId(Uuid::from_u128(id));
        prop_assert_eq!(cursor::order(&cursor::of_order(at, id)).expect("ours"), (at, id));
        prop_assert_eq!(cursor::sku(&cursor::of_sku(&sku)).expect("ours"), sku);
        let adjustment = cursor::number(&cursor::before_number(number));
        prop_assert_eq!(adjustment.expect("ours"), number);
        let topic = topic.get(&Topic::ALL).as_str().to_owned();
        let letter = DeadLetterId { topic, partition, offset };
        let next = DeadLetterId { offset: offset.saturating_add(1), ..letter.clone() };
        prop_assert_eq!(cursor::letter(&cursor::after_letter(&letter)).expect("ours"), next);
    }

    #[test]
    fn a_cursor_names_a_time_that_a_database_has(millis in any::<i64>()) {
        let forged = cursor::of_order(Timestamp(millis), samples::id());
        let years = -62_167_219_200_000..=253_402_300_799_999;
        prop_assert_eq!(cursor::order(&forged).is_ok(), years.contains(&millis));
    }

    #[test]
    fn any_query_is_read(query in "[!-~]{0,60}", pairs in vec(("[a-c]|limit", any::<String>()), 0..5)) {
        if let Ok(uri) = Uri::from_str(&format!("/x?{query}")) {
            let query = Query::of(&uri);
            let _ = (query.get("a"), query.limit(), query.all("b").count());
        }
        let mut url = reqwest::Url::parse("http://h/x").expect("a URL");
        url.query_pairs_mut().extend_pairs(&pairs);
        let uri = Uri::from_str(&format!("/x?{}", url.query().unwrap_or_default())).expect("a URI");
        let query = Query::of(&uri);
        for name in ["a", "b", "c", "limit"] {
            let given: Vec<&str> = pairs
                .iter()
                .filter(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| &**value)
                .collect();
            prop_assert_eq!(query.all(name).collect::<Vec<_>>(), &*given);
            prop_assert_eq!(query.get(name).is_ok(), given.len() <= 1);
        }
        if let Ok(limit) = query.limit() {
            prop_assert!((1..=super::params::LIMIT_MAX).contains(&limit));
        }
    }

    #[test]
    fn any_head_is_taken_or_refused(
        hosts in vec(header_value(), 0..3), codings in vec(header_value(), 0..3), target in "[!-~]{0,40}",
        method in "[!-~]{1,10}", is_old in any::<bool>(),
    ) {
        let (Ok(target), Ok(method)) = (Uri::from_str(&target), Method::from_str(&method)) else {
            return Ok(());
        };
        let mut request = Request::new(());
        *request.version_mut() = if is_old { Http::HTTP_10 } else { Http::HTTP_11 };
        (*request.uri_mut(), *request.method_mut()) = (target, method);
        request.headers_mut().extend(headers(&header::HOST, hosts.clone()));
        request.headers_mut().extend(headers(&header::TRANSFER_ENCODING, codings));
        match request_head::check(&request) {
            Ok(()) => prop_assert!(hosts.len() == 1 || is_old && hosts.is_empty()),
            Err(problem) => prop_assert!(matches!(problem.code(), Code::BadRequest | Code::NotImplemented)),
        }
    }

    #[test]
    fn any_other_header_is_read_or_refused(values in vec(header_value(), 0..3)) {
        let keys = headers(&request_headers::IDEMPOTENCY_KEY, values.clone());
        if let Ok(Some(key)) = request_headers::idempotency_key(&keys) {
            prop_assert!((1..=255).contains(&key.len()));
        }
        let mut request = Request::new(());
        *request.headers_mut() = headers(&"traceparent".parse().expect("a name"), values);
        let trace = Trace::of(&mut request);
        prop_assert_eq!(trace.id().len(), 32);
        let passed_on = request_headers::traceparent(request.extensions());
        prop_assert_eq!(passed_on.len(), trace::LEN);
    }

    #[test]
    fn a_damaged_body_is_read_or_its_faults_are_named(damage in damage(), any in any::<String>()) {
        let order = samples::order(&[]).0;
        let content = serde_json::to_vec(&ContentV1::of(&order.placed)).expect("JSON");
        for text in [&damaged(&content, &damage)[..], any.as_bytes()] {
            answered::<ContentV1, _>(text, ContentV1::check)?;
        }
        let location = br#"{"lat":52.5,"lon":13.4,"at":"2026-01-31T12:00:00Z"}"#;
        answered::<LocationBody, _>(&damaged(location, &damage), Ok)?;
        answered::<StatusBody, _>(&damaged(br#"{"status":"PREPARING"}"#, &damage), Ok)?;
        answered::<CancelBody, _>(&damaged(br#"{"reason":"hail"}"#, &damage), Ok)?;
        answered::<OnHandBody, _>(&damaged(br#"{"onHand":12}"#, &damage), Ok)?;
        answered::<AdjustmentBody, _>(&damaged(br#"{"delta":-3,"reason":"broken"}"#, &damage), Ok)?;
    }

    #[test]
    fn a_damaged_live_message_is_read_or_refused(
        damage in damage(), id in any::<u128>(), since in option::of(any::<u32>()), any in any::<String>(),
    ) {
        let order_id = Uuid::from_u128(id).to_string();
        let wanted = Wanted::Subscribe { since: since.map(Version) };
        let id = OrderId(Uuid::from_u128(id));
        let subscribe = serde_json::json!({"type": "subscribe", "orderId": order_id, "since": since});
        let unsubscribe = serde_json::json!({"type": "unsubscribe", "orderId": order_id});
        for (message, meant) in [(subscribe, wanted), (unsubscribe, Wanted::Unsubscribe)] {
            let written = message.to_string();
            prop_assert_eq!(messages::parse(&written).expect("ours").about(), Some((id, meant)));
            let damaged = damaged(written.as_bytes(), &damage);
            let _ = messages::parse(&String::from_utf8_lossy(&damaged));
        }
        let _ = messages::parse(&any);
    }
}

/// Reads `text` as a body. It is read, or it is no JSON, or every fault is named, and there is one.
fn answered<T: DeserializeOwned + ToSchema, C>(
    text: &[u8],
    check: impl Fn(T) -> Result<C, Vec<crate::codec::content::FieldError>>,
) -> Result<(), TestCaseError> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Ok(());
    };
    let Err(problem) = json::parse(text, check) else {
        return Ok(());
    };
    let errors = &problem.body().errors;
    match problem.code() {
        Code::MalformedJson => prop_assert!(errors.is_empty()),
        code => {
            prop_assert_eq!(code, Code::ValidationFailed);
            prop_assert!(
                (1..=shape::ERRORS_MAX).contains(&errors.len()),
                "{:?}",
                errors
            );
            let vague = errors
                .iter()
                .any(|error| error.detail.contains("documented form"));
            prop_assert!(!vague, "{}: {:?}", text, errors);
        }
    }
    Ok(())
}

#[test]
fn nesting_beyond_every_depth_is_refused() {
    let content = ContentV1::of(&samples::order(&[]).0.placed);
    for text in nested(&serde_json::to_vec(&content).expect("JSON")) {
        answered::<ContentV1, _>(&text, ContentV1::check).expect("answered");
    }
    for text in nested(br#"{"type":"subscribe","orderId":"x","since":4,"more":0}"#) {
        let text = String::from_utf8(text).expect("JSON");
        messages::parse(&text).expect_err("no order");
    }
}

#[test]
fn what_clients_say_keeps_its_form() {
    let id = uuid::uuid!("0198c5f0-0000-7000-8000-000000000001");
    let subscribe = |since: Option<u32>| Wanted::Subscribe {
        since: since.map(Version),
    };
    let all = [subscribe(None), subscribe(Some(4)), Wanted::Unsubscribe];
    let known = include_str!("../../tests/fixtures/forms/live_client_messages.jsonl");
    assert_eq!(known.lines().count(), all.len());
    for (line, meant) in known.lines().zip(all) {
        assert_eq!(
            messages::parse(line).expect(line).about(),
            Some((OrderId(id), meant))
        );
    }
}
