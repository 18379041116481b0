//! Sharding of keyed entities over replicas: keys, bytes and epochs. Knows nothing of orders.
//!
//! One authority, the [`membership::Membership`] port, decides who owns a shard; the [`Epoch`] of a
//! claim fences writes, and the [`lease::Lease`] of the replica guards answers from memory.
//!
//! To spread another kind of entity over replicas:
//!
//! 1. **Key to shard.** [`shard_of`] gives the shard of a 16-byte key; [`ShardCount`] is fixed when the
//!    authority is first set up.
//! 2. **Join.** [`membership::Membership::join`] gives this life of the node an incarnation and a lease; a
//!    [`lease_keeper::LeaseKeeper`] renews it on a thread of its own and feeds a [`directory::Directory`].
//! 3. **Host shards.** Implement [`coordinator::Shards`]: `adopt` begins to serve shards under the epochs of
//!    their claims, `drain` holds new work and finishes what is in hand, `resume` and `release` end that one
//!    way or the other. A [`coordinator::Coordinator`] calls it: it claims what is free and falls to this
//!    node by [`assignment::assign`], and moves away what falls to others.
//! 4. **Write under the epoch.** Every write of an entity carries the epoch under which its shard is owned,
//!    and the store refuses an older one than the authority's in the same statement. That alone keeps two
//!    owners apart.
//! 5. **Answer under the lease.** Whatever is answered without writing is answered only while
//!    [`lease::Lease::holds`], looked at when the answer is ready.
//! 6. **Reach the owner.** [`directory::Directory::owner`] says whom to ask, [`link::Links::call`] asks:
//!    [`link::TonicLinks`] over the network, [`link::memory`] in tests. An error says whether the request
//!    can have arrived ([`link::LinkError`]); the requests themselves are the caller's bytes, and repeating
//!    them safely is the caller's business, as is following an entity's changes across owners.

pub mod assignment;
pub mod changes;
pub mod coordinator;
pub mod directory;
pub mod lease;
pub mod lease_keeper;
pub mod link;
pub mod membership;
pub mod names;
pub mod outage;
pub mod shard;
pub mod vital;

pub use shard::{Epoch, ShardCount, ShardId, shard_of};
