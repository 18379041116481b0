//! The roles of a whole system. Leaves starting and stopping them to [`super::subject`].

use crate::system::Role;

/// The three roles of a whole system.
pub struct Roles {
    pub order: Role,
    pub relay: Role,
    pub inventory: Role,
}

impl Roles {
    /// All three.
    pub fn all(&self) -> [&Role; 3] {
        [&self.order, &self.relay, &self.inventory]
    }
}
