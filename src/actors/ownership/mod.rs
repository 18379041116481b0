//! Which shards this replica owns, under which epoch, and whether its lease still holds. Who should own a
//! shard is the coordinator's to decide; who does own it is the authority's, which is the database.

mod authority;
mod claims;
mod settle;
mod steps;
mod table;

pub use self::table::{Ownership, Unwritable};
