//! Every replica answers for every order: what this one owns it works on itself, the rest goes to
//! the owner in one hop ([`forward`]), and what others send here is worked on here and nowhere else
//! ([`serve`]). Live subscriptions follow the owners ([`watch`]). Who owns what is the directory's
//! business, how bytes travel that of the links.

mod ask;
mod core;
mod forward;
mod serve;
mod start;
mod subscriptions;

pub use self::core::{Router, RouterParts, RouterSettings};
