//! What the tests of the real binary share: a deployment of its roles on real servers, clients that
//! remember what they were told, and the checker of the invariants.

pub mod acknowledged;
pub mod bodies;
pub mod check;
pub mod client;
pub mod databases;
pub mod deployment;
pub mod dev;
pub mod environment;
pub mod load;
pub mod moving_name;
pub mod own_servers;
pub mod recorder;
pub mod role;
pub mod stream;
pub mod wait;
