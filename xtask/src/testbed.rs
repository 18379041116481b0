//! The servers of one run of tests or of the bench: those that the caller names in the
//! environment, and for the rest servers of our own, thrown away at the end.

use std::env;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Result, anyhow};
use xtask::servers::{Kafka, Launch, Postgres, Redis, Scratch, Server};

/// The ends of the variables that name servers.
pub const SERVERS: [&str; 3] = ["POSTGRES_URL", "REDIS_URL", "KAFKA_BROKERS"];

/// Servers that live as long as this, with the variables that name them.
pub struct Testbed {
    /// Variables to set for the programs that use the servers.
    pub variables: Vec<(String, String)>,
    servers: (Option<Postgres>, Option<Redis>, Option<Kafka>),
    // After the servers in it: fields are dropped in this order.
    _scratch: Scratch,
}

impl Testbed {
    /// Starts those of `<prefix>_POSTGRES_URL`, `<prefix>_REDIS_URL` and
    /// `<prefix>_KAFKA_BROKERS` that the environment doesn't name, all at once.
    pub fn start(prefix: &str) -> Result<Self> {
        let scratch = Scratch::new("testbed")?;
        let [postgres, redis, kafka] = SERVERS.map(|name| format!("{prefix}_{name}"));
        let dir = scratch.path();
        let servers = thread::scope(|scope| {
            let others = scope.spawn(|| {
                Ok::<_, anyhow::Error>((unless_named(&postgres, dir)?, unless_named(&redis, dir)?))
            });
            let kafka_server = unless_named(&kafka, dir);
            let (postgres_server, redis_server) = joined(others)?;
            Ok::<_, anyhow::Error>((postgres_server, redis_server, kafka_server?))
        })?;
        let mut testbed = Self {
            variables: Vec::new(),
            servers,
            _scratch: scratch,
        };
        testbed.name(postgres, testbed.servers.0.as_ref().map(Server::url));
        testbed.name(redis, testbed.servers.1.as_ref().map(Server::url));
        testbed.name(kafka, testbed.servers.2.as_ref().map(Server::url));
        Ok(testbed)
    }

    fn name(&mut self, variable: String, url: Option<String>) {
        // What the caller named is passed on by the environment itself.
        if let Some(url) = url {
            self.variables.push((variable, url));
        }
    }
}

/// The value of a thread; a panic in it becomes an error.
pub fn joined<T>(handle: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle
        .join()
        .unwrap_or_else(|_| Err(anyhow!("starting the servers panicked")))
}

/// Whether the caller's environment names the server of this variable.
pub fn is_named(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn unless_named<L: Launch>(variable: &str, dir: &Path) -> Result<Option<Server<L>>> {
    if is_named(variable) {
        return Ok(None);
    }
    Server::start(&dir.join(L::NAME), 0).map(Some)
}
