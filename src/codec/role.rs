//! The stored and linked form of a role with its scope.

use serde::{Deserialize, Serialize};
use trackops_domain::access::Role;
use trackops_domain::ids::{CourierId, CustomerId, ShopId};

/// A role. What belongs to another role is left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleV1 {
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<uuid::Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shops: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    courier: Option<String>,
}

impl RoleV1 {
    /// The form of `role`.
    pub fn of(role: &Role) -> Self {
        let (mut customer, mut shops, mut courier) = (None, None, None);
        match role {
            Role::Customer(id) => customer = Some(id.0),
            Role::Kitchen(ids) => shops = Some(ids.iter().map(ToString::to_string).collect()),
            Role::Courier(id) => courier = Some(id.to_string()),
            Role::Service | Role::Operator | Role::Viewer => {}
        }
        Self {
            role: role.name().into(),
            customer,
            shops,
            courier,
        }
    }

    /// The role; `None` for one that this code doesn't know, or that lacks its scope: nobody knows what it may
    /// do.
    pub fn read(self) -> Option<Role> {
        let shops = |names: Vec<String>| names.iter().map(|name| ShopId::parse(name)).collect();
        match self.role.as_str() {
            "customer" => self.customer.map(|id| Role::Customer(CustomerId(id))),
            "kitchen" => self.shops.and_then(shops).map(Role::Kitchen),
            "courier" => {
                let courier = self.courier.and_then(|id| CourierId::parse(&id));
                courier.map(Role::Courier)
            }
            "service" => Some(Role::Service),
            "operator" => Some(Role::Operator),
            "viewer" => Some(Role::Viewer),
            _ => None,
        }
    }
}
