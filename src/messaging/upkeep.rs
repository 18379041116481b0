//! Commits offsets and asks for the consumer lag, beside the handling of messages. The consumer loop
//! begins these calls and waits for them only at its end.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;

use super::partitions::{Partitions, Progress};
use crate::faults;
use crate::ports::bus::{BusError, Consumer};
use crate::telemetry::names;
use crate::telemetry::repeated::RepeatedLog;

/// The time between commits. A shorter time would repeat less after a crash, but the broker writes every
/// commit to disk.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// The pause after a failed commit.
const COMMIT_AGAIN: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
/// The limit for the last commits when the runner ends. Messages that aren't committed come again.
const COMMIT_LAST: Duration = Duration::from_secs(2);
/// The time between two questions for the lag. Each asks the bus about every partition.
const LAG_EVERY: Duration = Duration::from_secs(5);

type Lag = BTreeMap<Arc<str>, u64>;
type Call<T> = BoxFuture<'static, Result<T, BusError>>;

/// The commits and lag questions of one group.
pub(super) struct Upkeep {
    group: Arc<str>,
    commit: Option<(Vec<Progress>, Call<()>)>,
    commit_at: Instant,
    commit_again: Backoff,
    commit_log: RepeatedLog,
    lag: Option<Call<Lag>>,
    lag_at: Instant,
}

/// The result of a commit or of a lag question.
pub(super) enum Ended {
    Commit(Result<(), BusError>),
    Lag(Result<Lag, BusError>),
}

impl Upkeep {
    pub(super) fn new(group: Arc<str>) -> Self {
        let now = Instant::now();
        Self {
            group,
            commit: None,
            commit_at: now,
            commit_again: COMMIT_AGAIN,
            commit_log: RepeatedLog::new(),
            lag: None,
            lag_at: now,
        }
    }

    /// When the next commit or lag question is due.
    pub(super) fn next_due(&self, partitions: &Partitions) -> Option<Instant> {
        let may_commit = self.commit.is_none() && partitions.is_ahead();
        let commit = may_commit.then_some(self.commit_at);
        let lag = self.lag.is_none().then_some(self.lag_at);
        commit.into_iter().chain(lag).min()
    }

    /// Begins the calls that are due.
    pub(super) fn begin(
        &mut self,
        consumer: &mut dyn Consumer,
        partitions: &mut Partitions,
        now: Instant,
    ) {
        if self.commit.is_none() && partitions.is_ahead() && now >= self.commit_at {
            self.begin_commit(consumer, partitions);
            self.commit_at = now + COMMIT_EVERY;
        }
        if self.lag.is_none() && now >= self.lag_at {
            self.lag = Some(consumer.lag());
            self.lag_at = now + LAG_EVERY;
        }
    }

    fn begin_commit(&mut self, consumer: &mut dyn Consumer, partitions: &mut Partitions) {
        let progress = partitions.take_progress();
        if progress.is_empty() {
            return;
        }
        faults::crash(faults::points::CRASH_BEFORE_OFFSET);
        let next: Vec<(Arc<str>, i32, i64)> = progress
            .iter()
            .map(
                |Progress {
                     partition, next, ..
                 }| (Arc::clone(&partition.0), partition.1, *next),
            )
            .collect();
        self.commit = Some((progress, consumer.commit(&next)));
    }

    /// Waits for a call in flight; for ever, if there is none.
    pub(super) async fn next(&mut self) -> Ended {
        let Self { commit, lag, .. } = self;
        let committed = async {
            match commit {
                Some((_, result)) => result.await,
                None => pending().await,
            }
        };
        let asked = async {
            match lag {
                Some(result) => result.await,
                None => pending().await,
            }
        };
        tokio::select! {
            result = committed => Ended::Commit(result),
            result = asked => Ended::Lag(result),
        }
    }

    /// Applies the result that [`Self::next`] returned.
    pub(super) fn apply_answers(&mut self, ended: Ended, partitions: &mut Partitions) {
        match ended {
            Ended::Commit(result) => self.committed(result, partitions),
            Ended::Lag(result) => {
                self.lag = None;
                match result {
                    Ok(lag) => self.show(lag, partitions),
                    // The gauge keeps its value while the bus is away.
                    Err(error) => {
                        tracing::debug!(group = &*self.group, %error, "lag unknown");
                    }
                }
            }
        }
    }

    fn committed(&mut self, result: Result<(), BusError>, partitions: &mut Partitions) {
        let Some((progress, _)) = self.commit.take() else {
            return;
        };
        let (group, now) = (&*self.group, Instant::now());
        match result {
            Ok(()) => {
                partitions.committed(&progress);
                self.commit_again.reset();
                if let Some(recovery) = self.commit_log.recovered(now) {
                    let (count, lasted_s) = (recovery.count, recovery.lasted.as_secs());
                    tracing::info!(group, count, lasted_s, "offsets are committed again");
                }
            }
            Err(error) => {
                partitions.commit_again();
                self.commit_at = now + self.commit_again.pause();
                if let Some(repeats) = self.commit_log.failed(now) {
                    let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
                    let cause = &*error.0;
                    tracing::warn!(
                        group, %error, cause, count, lasting_s,
                        "offsets could not be committed, will try again"
                    );
                }
            }
        }
    }

    /// Sets the gauges of the lag: messages not read yet, plus those in hand.
    fn show(&self, mut lag: Lag, partitions: &Partitions) {
        for (topic, in_hand) in partitions.in_hand() {
            *lag.entry(topic).or_default() += in_hand;
        }
        for (topic, count) in lag {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(
                names::BUS_LAG,
                "group" => self.group.to_string(),
                "topic" => topic.to_string()
            )
            .set(count as f64);
        }
    }

    /// Makes the last commits.
    pub(super) async fn finish(mut self, consumer: &mut dyn Consumer, partitions: &mut Partitions) {
        let last = async {
            loop {
                if self.commit.is_none() {
                    self.begin_commit(consumer, partitions);
                }
                let Some((_, result)) = &mut self.commit else {
                    return;
                };
                let result = result.await;
                let failed = result.is_err();
                self.committed(result, partitions);
                if failed {
                    return;
                }
            }
        };
        if tokio::time::timeout(COMMIT_LAST, last).await.is_err() {
            tracing::warn!(
                group = &*self.group,
                "the last offsets could not be committed in time: messages will come again"
            );
        }
    }
}
