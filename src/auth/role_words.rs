//! A role with its scope in the words in which people give it: a role's name, and what it is about.

use trackops_domain::access::Role;
use trackops_domain::ids::{CourierId, CustomerId, ShopId};
use uuid::Uuid;

use crate::ports::journal::LIST_SHOPS_MAX;

/// The most shops of one kitchen: as many as one list can have.
pub const SHOPS_MAX: usize = LIST_SHOPS_MAX;

/// A role and its scope as given.
#[derive(Clone, Copy, Debug)]
pub struct RoleWords<'a> {
    /// The role's name.
    pub role: &'a str,
    /// Of a kitchen.
    pub shops: Option<&'a [String]>,
    /// Of a customer.
    pub customer: Option<Uuid>,
    /// Of a courier.
    pub courier: Option<&'a str>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The role's name.
    Role,
    /// The shops.
    Shops,
    /// The customer.
    Customer,
    /// The courier.
    Courier,
}

impl Field {
    /// Its name in a body.
    pub const fn of_body(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Shops => "shops",
            Self::Customer => "customerId",
            Self::Courier => "courierId",
        }
    }

    /// Its name on the command line.
    pub const fn of_flag(self) -> &'static str {
        match self {
            Self::Role => "--role",
            Self::Shops => "--shop",
            Self::Customer => "--customer",
            Self::Courier => "--courier",
        }
    }
}

impl RoleWords<'_> {
    /// The role, or what is wrong and why. A scope that belongs to another role is wrong too.
    pub fn read(self) -> Result<Role, (Field, &'static str)> {
        let foreign = [
            (Field::Shops, "kitchen", self.shops.is_some()),
            (Field::Customer, "customer", self.customer.is_some()),
            (Field::Courier, "courier", self.courier.is_some()),
        ];
        let foreign = foreign
            .into_iter()
            .find(|(_, role, is_given)| *is_given && *role != self.role);
        if let Some((field, _, _)) = foreign {
            return Err((field, "belongs to another role"));
        }
        match self.role {
            "customer" => {
                let customer = self.customer.map(|id| Role::Customer(CustomerId(id)));
                customer.ok_or((Field::Customer, "must say which customer, by UUID"))
            }
            "kitchen" => {
                let names = self.shops.unwrap_or_default();
                let shops: Option<Box<[ShopId]>> =
                    names.iter().map(|name| ShopId::parse(name)).collect();
                shops
                    .filter(|shops| (1..=SHOPS_MAX).contains(&shops.len()))
                    .map(Role::Kitchen)
                    .ok_or((
                        Field::Shops,
                        "must be 1 to 16 shops of 1 to 64 visible ASCII characters",
                    ))
            }
            "courier" => {
                let courier = self.courier.and_then(CourierId::parse);
                courier
                    .map(Role::Courier)
                    .ok_or((Field::Courier, "must be 1 to 64 visible ASCII characters"))
            }
            "service" => Ok(Role::Service),
            "operator" => Ok(Role::Operator),
            "viewer" => Ok(Role::Viewer),
            _ => Err((
                Field::Role,
                "must be customer, kitchen, courier, service, operator or viewer",
            )),
        }
    }
}

/// The longest name of a key, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether a key may have this name: 1 to 64 visible ASCII characters without a colon, and not the name of
/// everybody.
pub fn is_name(name: &str) -> bool {
    let is_sound = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b':');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && is_sound && name != "anonymous"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_its_own_scope_and_no_other() {
        let none = RoleWords {
            role: "service",
            shops: None,
            customer: None,
            courier: None,
        };
        let shops = ["north".to_owned()];
        let read = |words: RoleWords<'_>| {
            let role = words.read().map(|role| role.name());
            role.map_err(|(field, _)| field)
        };
        assert_eq!(read(none), Ok("service"));
        let kitchen = RoleWords {
            role: "kitchen",
            shops: Some(&shops),
            ..none
        };
        assert_eq!(read(kitchen), Ok("kitchen"));
        let wrong = [
            (
                RoleWords {
                    role: "chef",
                    ..none
                },
                Field::Role,
            ),
            (
                RoleWords {
                    role: "kitchen",
                    ..none
                },
                Field::Shops,
            ),
            (
                RoleWords {
                    shops: Some(&[]),
                    ..kitchen
                },
                Field::Shops,
            ),
            (
                RoleWords {
                    role: "customer",
                    ..none
                },
                Field::Customer,
            ),
            (
                RoleWords {
                    role: "operator",
                    ..kitchen
                },
                Field::Shops,
            ),
            (
                RoleWords {
                    courier: Some("a b"),
                    role: "courier",
                    ..none
                },
                Field::Courier,
            ),
        ];
        for (words, field) in wrong {
            assert_eq!(read(words), Err(field), "{words:?}");
        }
    }
}
