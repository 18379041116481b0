//! The roles, each with its scope, and the rules.

use super::action::Action;
use crate::ids::{CourierId, CustomerId, ShopId};
use crate::status::Status;

/// What somebody is to TrackOps. A role that is about some orders only has its scope with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A customer, who sees the orders of this id.
    Customer(CustomerId),
    /// A kitchen, which sees the orders of these shops.
    Kitchen(Box<[ShopId]>),
    /// A courier, who sees the orders that this courier carries.
    Courier(CourierId),
    /// A service of the company's own.
    Service,
    /// Somebody who keeps TrackOps running.
    Operator,
    /// Somebody who sees everything and changes nothing.
    Viewer,
}

/// Whose an order is.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who placed it, or for whom it was placed.
    pub customer: CustomerId,
    /// Which shop prepares it, if that was said.
    pub shop: Option<&'a ShopId>,
    /// Who carries it, once somebody does.
    pub courier: Option<&'a CourierId>,
}

impl Role {
    /// The names of all roles.
    pub const NAMES: [&'static str; 6] = [
        "customer", "kitchen", "courier", "service", "operator", "viewer",
    ];

    /// The name in history, logs and on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Customer(_) => "customer",
            Self::Kitchen(_) => "kitchen",
            Self::Courier(_) => "courier",
            Self::Service => "service",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// Whether the role may try `action` at all.
    pub const fn may(&self, action: Action) -> bool {
        match self {
            Self::Operator => true,
            Self::Service => !action.is_admin(),
            Self::Viewer => action.is_read(),
            Self::Customer(_) => matches!(
                action,
                Action::Place | Action::ReadOrders | Action::Advance | Action::Cancel
            ),
            Self::Kitchen(_) => matches!(
                action,
                Action::ReadOrders | Action::Advance | Action::Cancel | Action::ReadStock
            ),
            Self::Courier(_) => {
                matches!(
                    action,
                    Action::ReadOrders | Action::Advance | Action::Locate
                )
            }
        }
    }

    /// Whether the role is about some orders only.
    pub const fn is_scoped(&self) -> bool {
        matches!(
            self,
            Self::Customer(_) | Self::Kitchen(_) | Self::Courier(_)
        )
    }

    /// Whether an order of these facts is there for this role.
    pub fn sees(&self, facts: Facts<'_>) -> bool {
        match self {
            Self::Customer(id) => *id == facts.customer,
            Self::Kitchen(shops) => facts.shop.is_some_and(|shop| shops.contains(shop)),
            Self::Courier(id) => facts.courier == Some(id),
            Self::Service | Self::Operator | Self::Viewer => true,
        }
    }

    /// Whether the role may take an order that it sees from `from` to `to`, if the order's status allows the
    /// step.
    pub const fn may_step(&self, from: Status, to: Status) -> bool {
        match self {
            Self::Service | Self::Operator => true,
            Self::Viewer => false,
            // What is being prepared is paid for and can't be given back.
            Self::Customer(_) => {
                matches!(to, Status::Cancelled)
                    && matches!(from, Status::Pending | Status::Confirmed)
            }
            Self::Kitchen(_) => matches!(
                to,
                Status::Preparing | Status::InTransit | Status::Cancelled
            ),
            Self::Courier(_) => matches!(to, Status::InTransit | Status::Delivered),
        }
    }

    /// Whether the role may say that `named` carries an order. A courier may only say that of itself.
    pub fn may_name(&self, named: &CourierId) -> bool {
        match self {
            Self::Courier(own) => own == named,
            _ => true,
        }
    }

    /// Whether the role takes orders to `to` from any status.
    pub fn ever_steps_to(&self, to: Status) -> bool {
        Status::ALL.iter().any(|from| self.may_step(*from, to))
    }
}
