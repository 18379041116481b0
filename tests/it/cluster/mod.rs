//! Several replicas in one process: the cluster's parts over the in-memory membership, and nodes and
//! routers over one in-memory journal, with links that fail when told to; and
//! as real processes (`processes`).

mod commands;
mod coordinator;
mod lease_keeper;
mod links;
mod live;
mod membership;
mod moves;
mod offers;
pub mod processes;
mod replicas;
mod rig;
