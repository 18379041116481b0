//! The checks that make a role ready, and what a role must find before it starts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use parking_lot::Mutex;
use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;
use trackops_cluster::outage::causes;

use super::cluster_admin::LateBoundClusterAdmin;
use super::late_bound::LateBoundOwnership;
use super::lifecycle::Lifecycle;
use crate::api::probes::readiness::{CheckResult, Need, Readiness};
use crate::model::topic::Topic;
use crate::ports::bus::Bus;
use crate::ports::cache::Cache;
use crate::postgres::{Database, SchemaState};
use crate::telemetry::repeated::RepeatedLog;

/// The pauses between attempts at a database that is away at the start.
const RETRY: Backoff = Backoff::exact(Duration::from_millis(50), Duration::from_secs(1));

/// The shortest time between two checks of the topics. Each check costs a client of its own and the names of
/// all topics, and probes may come more often than that is worth.
const BUS_ASKED_EVERY: Duration = Duration::from_secs(1);

/// Waits until `database` answers and is migrated. An error if it needs `trackops migrate`; `false` if it is
/// time to stop. A database that a newer version has migrated is accepted: migrations only add, so this
/// version keeps running, and starts again, while the newer one is rolled out.
pub(super) async fn until_migrated(database: &Database, life: &Lifecycle) -> anyhow::Result<bool> {
    let mut backoff = RETRY;
    let waits = RepeatedLog::new();
    let wait = |cause: String| {
        if let Some(repeats) = waits.failed(Instant::now()) {
            let database = database.kind().as_str();
            tracing::warn!(
                database,
                cause,
                attempts = repeats.count,
                "waiting for the database"
            );
        }
    };
    loop {
        let state = match database.session_trouble().await {
            Ok(None) => database.schema_state().await,
            Ok(Some(trouble)) => bail!("{}: {trouble}", database.kind().as_str()),
            Err(error) => Err(error),
        };
        match state {
            Ok(SchemaState::Migrated) => return Ok(true),
            Ok(state @ SchemaState::Ahead { .. }) => {
                tracing::warn!(database = database.kind().as_str(), %state, "going on beside a newer version");
                return Ok(true);
            }
            Ok(state @ SchemaState::ReadOnly) => {
                wait(state.to_string());
            }
            Ok(state) => bail!("{}: {state}", database.kind().as_str()),
            Err(error) => wait(causes(&*error)),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = life.stopped() => return Ok(false),
        }
    }
}

/// Not ready while `database` is away or not migrated; degraded beside a newer version.
pub(super) fn database(readiness: &Readiness, name: &'static str, database: &Database) {
    let database = database.clone();
    readiness.check(name, Need::Required, move || {
        let database = database.clone();
        async move {
            match database.schema_state().await {
                Ok(SchemaState::Migrated) => CheckResult::Ready,
                Ok(state @ SchemaState::Ahead { .. }) => CheckResult::Degraded(state.to_string()),
                Ok(state) => CheckResult::Unready(state.to_string()),
                Err(error) => CheckResult::Unready(causes(&*error)),
            }
        }
    });
}

/// Not ready while a topic is missing; degraded while the bus is away.
pub(super) fn bus(readiness: &Readiness, bus: &Arc<dyn Bus>) {
    let bus = Arc::clone(bus);
    let last: Arc<Mutex<Option<(Instant, CheckResult)>>> = Arc::default();
    readiness.check("kafka", Need::Optional, move || {
        let (bus, last) = (Arc::clone(&bus), Arc::clone(&last));
        async move {
            let known = last.lock().clone();
            if let Some((_, verdict)) = known.filter(|(at, _)| at.elapsed() < BUS_ASKED_EVERY) {
                return verdict;
            }
            let verdict = match bus.missing_topics(&topics()).await {
                Ok(missing) if missing.is_empty() => CheckResult::Ready,
                Ok(missing) => CheckResult::Unready(format!(
                    "missing topics: {}: run `trackops migrate`",
                    missing.join(", ")
                )),
                Err(error) => CheckResult::Degraded(causes(&error)),
            };
            *last.lock() = Some((Instant::now(), verdict.clone()));
            verdict
        }
    });
}

/// Degraded while the cache is away.
pub(super) fn cache(readiness: &Readiness, cache: &Arc<dyn Cache>) {
    let cache = Arc::clone(cache);
    readiness.ping("redis", Need::Optional, move || {
        let cache = Arc::clone(&cache);
        async move { cache.ping().await.map_err(|error| causes(&error)) }
    });
}

/// Not ready until the replica has started. It owns its shards for good.
pub(super) fn started(readiness: &Arc<Readiness>) {
    let process = Arc::downgrade(readiness);
    readiness.check("shards", Need::Required, move || {
        let started = process
            .upgrade()
            .is_some_and(|readiness| readiness.has_started());
        async move {
            if started {
                CheckResult::Ready
            } else {
                CheckResult::Unready("waiting for the lease or for shards".into())
            }
        }
    });
}

/// Not ready while nothing can be written: before the replica has its lease and shards, between two
/// incarnations, and once the lease has ended.
pub(super) fn tenure(readiness: &Readiness, tenure: &Arc<LateBoundOwnership>) {
    let tenure = Arc::clone(tenure);
    readiness.check("shards", Need::Required, move || {
        let trouble = tenure.trouble();
        async move { trouble.map_or(CheckResult::Ready, CheckResult::Unready) }
    });
}

/// Not ready while this replica owns nothing and reaches no owner: it would fail every request.
pub(super) fn links(readiness: &Readiness, cluster_view: &Arc<LateBoundClusterAdmin>) {
    let cluster_view = Arc::clone(cluster_view);
    readiness.check("links", Need::Required, move || {
        let is_cut_off = cluster_view.is_cut_off();
        async move {
            if is_cut_off {
                CheckResult::Unready(
                    "no other replica can be reached, and this one owns nothing: do all have the same \
                     link secret or authority (link_tls_ca), and are the addresses right?"
                        .into(),
                )
            } else {
                CheckResult::Ready
            }
        }
    });
}

/// Every topic that a role needs.
pub(super) fn topics() -> Vec<Arc<str>> {
    Topic::all_with_dead_letters()
        .into_iter()
        .map(Arc::from)
        .collect()
}
