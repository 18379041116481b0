//! Who may do what. It is decided in two stages: at the edge by the role and the route
//! ([`Role::may`]), and where the order is by whose order it is and where it stands ([`Caller::sees`],
//! [`Caller::may_step`]). Leaves proving who somebody is to the main crate.

mod action;
mod caller;
mod role;

pub use action::Action;
pub use caller::{Caller, Credential, KEY_ISSUER, Principal, Subject};
pub use role::{Facts, Role};

#[cfg(test)]
mod tests;
