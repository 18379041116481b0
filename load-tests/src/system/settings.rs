//! Where the servers and the binaries are, from `TRACKOPS_BENCH_…`, and how long
//! the benchmarks take.

use std::env;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::load::Limits;

/// The settings of one invocation.
pub struct Settings {
    /// Short runs that show that everything works; the figures mean little.
    pub quick: bool,
    /// What "held" means for the highest rate.
    pub p99_ms: f64,
    /// Marks databases, topics and keys of this invocation.
    pub tag: String,
    /// Reports, and below it the roles' logs.
    pub output: PathBuf,
    /// Another release build, to be measured beside the one of `TRACKOPS_BENCH_BINARY`.
    pub before: Option<PathBuf>,
    /// The rates of `whole`; empty for its own.
    pub rates: Vec<u32>,
    /// How long `whole` measures a rate, if it is told.
    pub seconds: Option<u64>,
    /// How long each part of `sustained` takes, or `soak`, if it is told.
    pub minutes: Option<f64>,
    postgres: Variable,
    redis: Variable,
    kafka: Variable,
    binary: Variable,
    pgbench: Variable,
}

/// An environment variable that a benchmark may need.
struct Variable {
    name: &'static str,
    value: Option<String>,
}

impl Settings {
    /// Settings with a fresh tag, servers and binaries from the environment.
    pub fn new(output: PathBuf) -> Self {
        let tag = format!("bench_{:08x}", rand::random::<u32>());
        Self {
            quick: false,
            p99_ms: 50.0,
            tag,
            output,
            before: None,
            rates: Vec::new(),
            seconds: None,
            minutes: None,
            postgres: Variable::read("TRACKOPS_BENCH_POSTGRES_URL"),
            redis: Variable::read("TRACKOPS_BENCH_REDIS_URL"),
            kafka: Variable::read("TRACKOPS_BENCH_KAFKA_BROKERS"),
            binary: Variable::read("TRACKOPS_BENCH_BINARY"),
            pgbench: Variable::read("TRACKOPS_BENCH_PGBENCH"),
        }
    }

    /// The superuser's address of `database`.
    pub fn postgres(&self, database: &str) -> Result<String> {
        Ok(with_database(&self.postgres.required()?, database))
    }

    /// The Redis server.
    pub fn redis(&self) -> Result<String> {
        self.redis.required()
    }

    /// The Kafka brokers.
    pub fn kafka(&self) -> Result<String> {
        self.kafka.required()
    }

    /// The release binary of `trackops`.
    pub fn binary(&self) -> Result<PathBuf> {
        self.binary.required().map(PathBuf::from)
    }

    /// pgbench, from the search path unless named.
    pub fn pgbench(&self) -> PathBuf {
        self.pgbench.value.as_deref().unwrap_or("pgbench").into()
    }

    /// The search for the highest rate, beginning at `start_rate`.
    pub fn limits(&self, start_rate: u32) -> Limits {
        let seconds = |quick, full| Duration::from_secs(if self.quick { quick } else { full });
        Limits {
            p99_ms: self.p99_ms,
            start_rate,
            warm_up: seconds(1, 2),
            step: seconds(1, 8),
            confirm: seconds(3, 20),
        }
    }

    /// What each rate of `whole` is sent before it is measured.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs(self.pick(1, 4))
    }

    /// How long each rate of `whole` is measured.
    pub fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(self.pick(3, 11)))
    }

    /// How long each part of `sustained` takes.
    pub fn sustained(&self) -> Duration {
        let minutes = self.minutes.unwrap_or(self.pick(0.5, 10.0));
        Duration::from_secs_f64(minutes * 60.0)
    }

    /// How long `soak` takes.
    pub fn soaked(&self) -> Duration {
        let minutes = self.minutes.unwrap_or(self.pick(2.0, 60.0));
        Duration::from_secs_f64(minutes * 60.0)
    }

    /// `full`, or `quick` in a short run.
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Variable {
    fn read(name: &'static str) -> Self {
        Self {
            name,
            value: env::var(name).ok(),
        }
    }

    fn required(&self) -> Result<String> {
        self.value
            .clone()
            .with_context(|| format!("{} is not set", self.name))
    }
}

/// Puts `database` into a `PostgreSQL` URL, keeping what follows a `?`.
fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, None), |(base, query)| (base, Some(query)));
    let authority_at = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority_at..]
        .find('/')
        .map_or(base.len(), |at| authority_at + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &base[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn a_database_takes_its_place_in_the_url() {
        let wanted = "postgres://me:pw@127.0.0.1:5432/x";
        for url in [
            "postgres://me:pw@127.0.0.1:5432",
            "postgres://me:pw@127.0.0.1:5432/",
            "postgres://me:pw@127.0.0.1:5432/old",
        ] {
            assert_eq!(with_database(url, "x"), wanted);
        }
        assert_eq!(
            with_database("postgres://h?host=/run/pg", "x"),
            "postgres://h/x?host=/run/pg"
        );
    }
}
