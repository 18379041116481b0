//! The system under test: databases made for one run, roles as child processes,
//! and what can be read of them from outside.

mod admin;
mod databases;
mod deployment;
mod machine;
mod metrics;
mod processes;
mod produced;
mod redis;
mod replicas;
mod role;
mod settings;

pub use admin::{ClusterView, drain, shard_of};
pub use databases::{Databases, execute, scalar, show};
pub use deployment::{Deployment, Rows, start_dev};
pub use machine::{Machine, describe as describe_machine};
pub use metrics::{Buckets, Metrics};
pub use processes::{MachineTimes, ProcessTable, listening_at, open_files};
pub use produced::{LogEnds, Produced};
pub use redis::Redis;
pub use replicas::Replicas;
pub use role::{Launch, Role, stock_catalogue};
pub use settings::{Settings, unix_time};
