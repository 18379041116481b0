//! Reads stock requests from messages. It reads only the fields that stock needs, so that orders may gain
//! fields without a change here. Leaves applying requests to [`super::handler`].

use std::collections::BTreeMap;

use serde_json::Value;
use trackops_domain::ids::Sku;
use trackops_domain::placed::limits;
use trackops_domain::stock::Request;

use crate::codec::whole;
use crate::messaging::envelope::{self, Fields, malformed};
use crate::messaging::handler::Reason;
use crate::model::topic::Topic;
use crate::ports::bus::InMessage;
use crate::ports::stock::StockRequest;

/// The request to the ledger in `message`.
pub(super) fn stock_request(message: &InMessage) -> Result<StockRequest, Reason> {
    let fields = Fields::of(message)?;
    let (order, request) = match Topic::parse(&message.topic) {
        Some(Topic::OrderCreated) => {
            let order = fields.order("id", message)?;
            (order, Request::Reserve(demand(fields.list("items")?)?))
        }
        Some(Topic::OrderCancelled) => (fields.order("orderId", message)?, Request::Release),
        Some(Topic::OrderDelivered) => (fields.order("orderId", message)?, Request::Ship),
        _ => {
            let detail = "nothing of the stock's belongs to this topic";
            return Err(Reason::new("unknown-topic", detail));
        }
    };
    Ok(StockRequest {
        order,
        request,
        traceparent: Some(envelope::traceparent(message)),
    })
}

/// The quantity of each SKU, in order of SKU. A SKU in several items is added up.
fn demand(items: &[Value]) -> Result<Vec<(Sku, u64)>, Reason> {
    if items.is_empty() || items.len() > limits::ITEMS_MAX {
        let max = limits::ITEMS_MAX;
        return Err(malformed(format!("items must have 1 to {max} entries")));
    }
    let mut demand: BTreeMap<Sku, u64> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let sku = item.get("sku").and_then(Value::as_str).and_then(Sku::parse);
        let sku = sku.ok_or_else(|| {
            let bytes = Sku::BYTES_MAX;
            malformed(format!(
                "items[{index}].sku must be 1 to {bytes} visible ASCII characters"
            ))
        })?;
        let max = limits::QUANTITY_MAX;
        let quantity = item.get("quantity").and_then(whole::of);
        let quantity = quantity.and_then(|quantity| u64::try_from(quantity).ok());
        let quantity = quantity.filter(|q| (1..=u64::from(max)).contains(q));
        let quantity = quantity
            .ok_or_else(|| malformed(format!("items[{index}].quantity must be 1 to {max}")))?;
        *demand.entry(sku).or_default() += quantity;
    }
    Ok(demand.into_iter().collect())
}
