//! The body of a placement: an order's content, in which a customer needs no id.

use crate::codec::schema::{CurrencyCode, InstructionsText, ShopName};
use serde::{Deserialize, Serialize};
use trackops_domain::access::{Caller, Role};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::codec::content::{AddressV1, ContentV1, FieldError, ItemV1};
use crate::codec::object;

/// An order to place.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderDraft {
    /// Who orders. A customer may leave it out: then it is that customer.
    #[serde(default)]
    pub customer_id: Option<Uuid>,
    /// ISO 4217 code, e.g. `EUR`.
    #[schema(value_type = CurrencyCode)]
    pub currency: String,
    /// 1 to 100 lines.
    #[serde(deserialize_with = "object::many")]
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<ItemV1>,
    /// Where to deliver.
    #[serde(deserialize_with = "object::one")]
    pub address: AddressV1,
    /// For the courier; at most 1,000 characters.
    #[serde(default)]
    #[schema(value_type = Option<InstructionsText>)]
    pub delivery_instructions: Option<String>,
    /// The shop that prepares it; 1 to 64 visible ASCII characters.
    #[serde(default)]
    #[schema(value_type = Option<ShopName>)]
    pub shop_id: Option<String>,
}

impl OrderDraft {
    /// The content, with the caller's own id in place of one that was left out; and whether nobody has said who
    /// orders.
    pub fn content(self, caller: &Caller) -> (ContentV1, Option<FieldError>) {
        let own = match caller.role() {
            Some(Role::Customer(id)) => Some(id.0),
            _ => None,
        };
        let customer = self.customer_id.or(own);
        let missing = customer.is_none().then(|| FieldError {
            pointer: "/customerId".into(),
            detail: "is missing".into(),
        });
        let content = ContentV1 {
            customer_id: customer.unwrap_or_default(),
            currency: self.currency,
            items: self.items,
            address: self.address,
            delivery_instructions: self.delivery_instructions,
            shop_id: self.shop_id,
        };
        (content, missing)
    }
}
