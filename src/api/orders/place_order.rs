//! `POST /api/v1/orders`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use trackops_domain::ids::OrderId;
use utoipa::ToSchema;

use super::answer;
use super::order_draft::OrderDraft;
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::json;
use crate::api::parameters;
use crate::api::problem::{Denied, Problem};
use crate::api::problem_code::Code;
use crate::api::request_headers::{idempotency_key, traceparent};
use crate::api::state::ApiState;
use crate::codec::view::OrderView;
use crate::model::order_request::{PlaceKey, PlaceRequest, keyed_order_id};
use crate::ports::orders::OrdersExt as _;

/// An order that was just placed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlacedOrder)]
pub struct PlacedView {
    /// The order.
    #[serde(flatten)]
    pub order: OrderView,
    /// Where whoever has this link follows the order, without any other credential, until 24 hours after its end.
    /// Missing where there are no tracking links.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tracking_url: Option<String>,
}

refusals!(Refusals = UNCONDITIONAL, KEY, BODY, ASKED; Forbidden);

/// Place an order.
///
/// Answered after the order is durable. With an `Idempotency-Key`, a repeat of the same body gives
/// the first answer again; another body is refused.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "orders", operation_id = "placeOrder",
    params(parameters::IdempotencyKey),
    request_body = OrderDraft,
    responses(
        (status = 201, description = "Placed", body = PlacedView, headers(("Location"),
            ("ETag"),
            ("Idempotency-Replayed"))),
        Refusals)
)]
pub async fn place_order(
    State(state): State<Arc<ApiState>>,
    By(caller): By,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    etag::refuse_all(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let check = |draft: OrderDraft| {
        let (content, missing) = draft.content(&caller);
        let hash = key.map(|_| answer::canonical_hash(&content));
        match (content.check(), missing) {
            (Ok(placed), None) => Ok((placed, hash)),
            (checked, missing) => {
                let found = checked.err().unwrap_or_default();
                Err(missing.into_iter().chain(found).collect())
            }
        }
    };
    let (placed, hash) = json::read_checked(&parts.headers, body, check).await?;
    if !caller.may_place_for(placed.customer) {
        let detail = "a customer places orders for itself only: customerId is its own, or left out";
        return Err(Problem::new(Code::Forbidden, detail).denied(Denied::Role));
    }
    let key = key.zip(hash).map(|(key, body)| PlaceKey {
        order: keyed_order_id(&caller, key),
        body,
    });
    let done = state
        .orders
        .place(PlaceRequest {
            content: Arc::new(placed),
            key,
            caller,
            traceparent: Some(traceparent(&parts.extensions)),
        })
        .await?;
    let tracking_url = state.links.url(done.order.id);
    let mut response = answer::placed(&done, tracking_url.as_deref());
    response
        .headers_mut()
        .insert(header::LOCATION, location(done.order.id));
    Ok(response)
}

fn location(order: OrderId) -> HeaderValue {
    const PREFIX: &[u8] = b"/api/v1/orders/";
    let mut path = [0; PREFIX.len() + 36];
    path[..PREFIX.len()].copy_from_slice(PREFIX);
    order
        .0
        .as_hyphenated()
        .encode_lower(&mut path[PREFIX.len()..]);
    // Letters, digits, slashes and hyphens are always a valid header value.
    HeaderValue::from_bytes(&path).unwrap_or_else(|_| HeaderValue::from_static("/api/v1/orders"))
}
