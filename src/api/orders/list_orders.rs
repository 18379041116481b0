//! `GET /api/v1/orders`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use trackops_domain::access::{Caller, Role};
use trackops_domain::ids::{CustomerId, ShopId};
use trackops_domain::status::Status;
use utoipa::ToSchema;

use super::answer;
use crate::api::caller::By;
use crate::api::cursor;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::{self, Query};
use crate::api::problem::Problem;
use crate::api::state::ApiState;
use crate::codec::view::OrderView;
use crate::ports::journal::{LIST_SHOPS_MAX, ListFilter};

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderPage {
    /// Newest first, by `createdAt` and `id`.
    pub items: Vec<OrderView>,
    /// For the next page; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

refusals!(Refusals = UNCONDITIONAL, LIST);

/// List orders, newest first.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders", operation_id = "listOrders",
    params(parameters::Statuses, parameters::CustomerId, parameters::Shops, parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "A page", body = OrderPage), Refusals)
)]
pub async fn list_orders(
    State(state): State<Arc<ApiState>>,
    By(caller): By,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse_all(&headers)?;
    let query = Query::of(&uri);
    let limit = query.limit()?;
    let mut filter = ListFilter {
        statuses: query.all("status").map(status).collect::<Result<_, _>>()?,
        customer: query.get("customerId")?.map(customer).transpose()?,
        shops: shops(&query)?,
        before: query.get("cursor")?.map(cursor::order).transpose()?,
        // One more than the page holds tells whether there is a next page.
        limit: limit + 1,
    };
    let mut orders = if narrow(&mut filter, &caller) {
        state.journal.list(&filter).await?
    } else {
        Vec::new()
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = orders.len() > limit;
    orders.truncate(limit);
    let last = orders.last().filter(|_| has_more);
    let page = OrderPage {
        next_cursor: last.map(|order| cursor::of_order(order.created_at(), order.id)),
        items: orders
            .iter()
            .map(|order| OrderView::of(order, None))
            .collect(),
    };
    answer::json_of(StatusCode::OK, &page)
}

/// Leaves those orders that the caller sees. `false` if there are none.
fn narrow(filter: &mut ListFilter, caller: &Caller) -> bool {
    match caller.role() {
        Some(Role::Customer(own)) => {
            let wanted = *filter.customer.get_or_insert(*own);
            wanted == *own
        }
        Some(Role::Kitchen(own)) => {
            if filter.shops.is_empty() {
                filter.shops = own.to_vec();
            } else {
                filter.shops.retain(|shop| own.contains(shop));
            }
            !filter.shops.is_empty()
        }
        // A courier learns of its orders by their ids: there is no list by courier.
        Some(Role::Courier(_)) => false,
        Some(Role::Service | Role::Operator | Role::Viewer) | None => true,
    }
}

fn status(name: &str) -> Result<Status, Problem> {
    Status::parse(name).ok_or_else(|| {
        let names = Status::ALL.map(Status::as_str).join(", ");
        params::invalid(format!("status must be one of {names}"))
    })
}

fn shops(query: &Query<'_>) -> Result<Vec<ShopId>, Problem> {
    let shop = |text| {
        ShopId::parse(text)
            .ok_or_else(|| params::invalid("shopId must be 1 to 64 visible ASCII characters"))
    };
    // One more than may be given tells whether there are too many.
    let shops = query.all("shopId").take(LIST_SHOPS_MAX + 1).map(shop);
    let shops: Vec<ShopId> = shops.collect::<Result<_, _>>()?;
    if shops.len() > LIST_SHOPS_MAX {
        let detail = format!("shopId may be given {LIST_SHOPS_MAX} times at most");
        return Err(params::invalid(detail));
    }
    Ok(shops)
}

fn customer(text: &str) -> Result<CustomerId, Problem> {
    params::uuid(text)
        .map(CustomerId)
        .ok_or_else(|| params::invalid("customerId must be a UUID"))
}
