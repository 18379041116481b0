//! On whose behalf a replica asks another.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trackops_domain::access::{Caller, Principal, Role, Subject};
use trackops_domain::ids::{CourierId, CustomerId, ShopId};

use super::envelope::LinkFormError;

/// Somebody at the API. A part of TrackOps isn't sent: its name in a command's `by` is enough.
#[derive(Serialize, Deserialize)]
pub(super) struct CallerV1 {
    role: String,
    name: Arc<str>,
    issuer: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<uuid::Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shops: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    courier: Option<String>,
}

impl CallerV1 {
    pub(super) fn of(caller: &Caller) -> Option<Self> {
        let Caller::Principal(principal) = caller else {
            return None;
        };
        let (mut customer, mut shops, mut courier) = (None, None, None);
        match &principal.role {
            Role::Customer(id) => customer = Some(id.0),
            Role::Kitchen(ids) => shops = Some(ids.iter().map(ToString::to_string).collect()),
            Role::Courier(id) => courier = Some(id.to_string()),
            Role::Service | Role::Operator | Role::Viewer => {}
        }
        Some(Self {
            role: principal.role.name().into(),
            name: Arc::clone(&principal.subject.name),
            issuer: Arc::clone(&principal.subject.issuer),
            customer,
            shops,
            courier,
        })
    }

    /// The caller; the part of TrackOps of that name if none was sent. A replica of an earlier version sends
    /// none, and has let everybody do everything.
    pub(super) fn read_or(
        given: Option<Self>,
        name: impl Into<Arc<str>>,
    ) -> Result<Caller, LinkFormError> {
        let Some(given) = given else {
            return Ok(Caller::Internal(name.into()));
        };
        let subject = Subject {
            issuer: Arc::clone(&given.issuer),
            name: Arc::clone(&given.name),
        };
        Ok(Principal::new(subject, given.role()?).into())
    }

    /// An unknown role is an error: nobody knows what it may do.
    fn role(self) -> Result<Role, LinkFormError> {
        let impossible = LinkFormError::Impossible("caller");
        let shops = |names: Vec<String>| names.iter().map(|name| ShopId::parse(name)).collect();
        let role = match self.role.as_str() {
            "customer" => self.customer.map(|id| Role::Customer(CustomerId(id))),
            "kitchen" => self.shops.and_then(shops).map(Role::Kitchen),
            "courier" => self
                .courier
                .and_then(|id| CourierId::parse(&id))
                .map(Role::Courier),
            "service" => Some(Role::Service),
            "operator" => Some(Role::Operator),
            "viewer" => Some(Role::Viewer),
            _ => None,
        };
        role.ok_or(impossible)
    }
}
