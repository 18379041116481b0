//! PostgreSQL, Redis, Kafka and nginx as child processes on loopback.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use xtask::servers::{Postgres, Scratch};
//! let scratch = Scratch::new("fence")?;
//! let mut postgres = Postgres::start(&scratch.path().join("postgres"), 0)?;
//! println!("{}", postgres.url());
//! postgres.kill()?;
//! postgres.restart()?;
//! # Ok(()) }
//! ```
//!
//! Blocking throughout: an async test calls these inside `spawn_blocking`.

mod guard;
mod kafka;
mod kafka_acls;
mod kafka_jars;
mod locate;
mod nginx;
mod pgbouncer;
mod pids;
mod port;
mod postgres;
mod process;
mod record;
mod redis;
mod scratch;
mod server;
mod user;
mod wait;

pub use kafka::{Kafka, KafkaLaunch};
pub use kafka_acls::{Operation as AclOperation, Resource as AclResource, Right, allow};
pub use kafka_jars::ensure as ensure_kafka_jars;
pub use locate::{find_on_path, find_postgres_program, find_server_program};
pub use nginx::{Nginx, NginxLaunch, PORT_WORD as NGINX_PORT_WORD};
pub use pgbouncer::{PgBouncer, PgBouncerLaunch};
pub use port::free as free_port;
pub use postgres::{Postgres, PostgresLaunch};
pub use redis::{Redis, RedisLaunch};
pub use scratch::Scratch;
pub use server::{Launch, Server};
pub use user::is_root;
