//! Which shards this replica owns, under which epoch, and whether its lease still holds. The coordinator
//! decides who should own a shard; the authority, which is the database, decides who owns it.

mod authority;
mod claims;
mod settle;
mod steps;
mod table;

pub use self::table::{Ownership, Unwritable};
