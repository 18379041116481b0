//! Sharding of keyed entities over replicas: keys, bytes and epochs. Knows nothing of orders.
//!
//! One authority, the [`membership::Membership`] port, decides who owns a shard; the [`Epoch`] of a
//! claim fences writes, and the [`lease::Lease`] of the replica guards answers from memory.
//!
//! To shard another kind of entity:
//!
//! 1. **Key to shard.** [`shard_of`] gives the shard of a 16-byte key; [`ShardCount`] is fixed when the
//!    authority is first set up.
//! 2. **Join.** [`membership::Membership::join`] gives this life of the node an incarnation and a lease; a
//!    [`lease_keeper::LeaseKeeper`] renews it on a thread of its own and feeds a [`directory::Directory`].
//! 3. **Host shards.** Implement [`coordinator::Shards`]: `adopt` begins to serve shards under the epochs
//!    of their claims, `drain` holds new work and finishes the work in flight, `resume` takes the shard
//!    back and `release` gives it up. A [`coordinator::Coordinator`] calls them: it claims the free
//!    shards that fall to this node by [`assignment::assign`], and moves away those that fall to others.
//! 4. **Write under the epoch.** Every write of an entity carries the epoch under which its shard is
//!    owned. The store refuses an epoch older than the authority's, in the same statement. That alone
//!    fences an earlier owner.
//! 5. **Answer under the lease.** Give an answer that needs no write only while [`lease::Lease::holds`],
//!    and check that when the answer is ready.
//! 6. **Reach the owner.** [`directory::Directory::owner`] names the owner, [`link::Links::call`] sends
//!    it the request: [`link::TonicLinks`] over the network, [`link::memory`] in tests. An error says
//!    whether the request can have arrived ([`link::LinkError`]). The caller encodes its requests,
//!    repeats them safely, and follows an entity's changes across owners.

pub mod assignment;
pub mod backoff;
pub mod changes;
pub mod coordinator;
pub mod directory;
pub mod lease;
pub mod lease_keeper;
pub mod link;
pub mod membership;
pub mod names;
pub mod outage;
pub mod repeated;
pub mod shard;
pub mod vital;

pub use shard::{Epoch, ShardCount, ShardId, shard_of};
