//! The journal writer: group commit. Appends that arrive while a commit is in flight share the next one. An
//! append after a pause commits at once; otherwise a commit queue starts a commit every 5 ms at most.
//!
//! A shard always uses the same commit queue, so a load that is queued behind an append sees it. How rows are
//! stored is left to the journal.

mod commit;
mod commit_queue;
mod handle;
mod job;
mod load;
mod shared;

pub use self::handle::Writer;
pub use self::job::WriteError;
pub(super) use self::shared::Shared;
