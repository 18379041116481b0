//! Committing one batch: fence, halve on a bad row, settle an unknown outcome; then cache, answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use trackops_cluster::ShardId;
use trackops_domain::order::Order;

use super::{AppendJob, Shared, WriteError};
use crate::faults;
use crate::ports::journal::{AppendError, AppendRow, RowOutcome};
use crate::telemetry::names;

type Waiting = (
    tokio::sync::oneshot::Sender<Result<(), WriteError>>,
    ShardId,
    Arc<Order>,
);

/// Commits `jobs` in one statement if all goes well.
pub(super) async fn commit(shared: &Arc<Shared>, jobs: Vec<AppendJob>) {
    let (mut rows, mut waiting) = (
        Vec::with_capacity(jobs.len()),
        Vec::with_capacity(jobs.len()),
    );
    for AppendJob {
        mut row,
        order,
        reply,
    } in jobs
    {
        match shared.ownership.epoch(row.shard) {
            Some(epoch) => {
                row.epoch = epoch;
                waiting.push((reply, row.shard, order));
                rows.push(row);
            }
            None => answer(reply, Err(WriteError::Unavailable)),
        }
    }
    // Halves are worked off one after the other, so that at most one statement of a lane is out.
    let mut parts = vec![(rows, waiting)];
    while let Some((rows, waiting)) = parts.pop() {
        if let Some(halves) = commit_part(shared, rows, waiting).await {
            parts.extend(halves);
        }
    }
}

type Part = (Vec<AppendRow>, Vec<Waiting>);

/// Commits one part; gives its halves back if one of its rows is bad.
async fn commit_part(
    shared: &Arc<Shared>,
    mut rows: Vec<AppendRow>,
    mut waiting: Vec<Waiting>,
) -> Option<[Part; 2]> {
    if rows.is_empty() {
        return None;
    }
    if faults::hit(faults::points::ANSWER_BEFORE_COMMIT, "") {
        waiting = answer_already(waiting);
    }
    faults::crash(faults::points::CRASH_BEFORE_APPEND);
    let started = Instant::now();
    let result = shared.journal.append(&rows).await;
    metrics::histogram!(names::JOURNAL_COMMIT_DURATION).record(started.elapsed());
    match result {
        Ok(outcomes) => {
            #[expect(clippy::cast_precision_loss, reason = "a batch has at most 512 rows")]
            metrics::histogram!(names::JOURNAL_BATCH_SIZE).record(rows.len() as f64);
            faults::crash(faults::points::CRASH_AFTER_APPEND);
            shared.announcer.announce();
            // The next batch need not wait for this one's cache.
            shared
                .tasks
                .spawn(finish(Arc::clone(shared), outcomes, waiting));
        }
        Err(AppendError::BadRow(error)) if rows.len() == 1 => {
            tracing::error!(order = %rows[0].order, %error, "the journal refuses a row");
            answer_all(waiting, WriteError::Refused);
        }
        Err(AppendError::BadRow(_)) => {
            let middle = rows.len() / 2;
            let (other_rows, other_waiting) = (rows.split_off(middle), waiting.split_off(middle));
            return Some([(rows, waiting), (other_rows, other_waiting)]);
        }
        Err(AppendError::Unavailable(error)) => {
            tracing::warn!(%error, rows = rows.len(), "append not possible");
            answer_all(waiting, WriteError::Unavailable);
        }
        Err(AppendError::Unknown(error)) => {
            tracing::warn!(%error, rows = rows.len(), "append of unknown outcome");
            settle(shared, &rows);
            answer_all(waiting, WriteError::Unknown);
        }
    }
    None
}

/// Stops the shards of `rows` and claims them again in the background.
fn settle(shared: &Arc<Shared>, rows: &[AppendRow]) {
    let shards: BTreeSet<ShardId> = rows.iter().map(|row| row.shard).collect();
    for shard in &shards {
        shared.ownership.suspend(*shard);
    }
    let shared_too = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let shards: Vec<ShardId> = shards.into_iter().collect();
        shared_too.ownership.settle(&shards, &shared_too.gate).await;
    });
}

/// Durable: writes through to the cache, then answers.
async fn finish(shared: Arc<Shared>, outcomes: Vec<RowOutcome>, waiting: Vec<Waiting>) {
    let committed = outcomes
        .iter()
        .zip(&waiting)
        .filter(|(outcome, _)| **outcome == RowOutcome::Committed);
    let entries = committed
        .map(|(_, (_, shard, order))| (*shard, Arc::clone(order)))
        .collect();
    shared.gate.write(entries).await;
    faults::crash(faults::points::CRASH_AFTER_CACHE);
    for (outcome, (reply, shard, _)) in outcomes.into_iter().zip(waiting) {
        match outcome {
            RowOutcome::Committed => answer(reply, Ok(())),
            RowOutcome::Conflict => answer(reply, Err(WriteError::Conflict)),
            RowOutcome::Fenced => {
                metrics::counter!(names::FENCED_APPENDS).increment(1);
                tracing::error!(%shard, "append fenced: another replica owns the shard");
                shared.ownership.suspend(shard);
                answer(reply, Err(WriteError::NotOwner));
            }
        }
    }
}

/// The defect that a test wants to see found: success is told before it is known. What is left in
/// place of the callers hears nothing.
fn answer_already(waiting: Vec<Waiting>) -> Vec<Waiting> {
    let answered = waiting.into_iter().map(|(reply, shard, order)| {
        answer(reply, Ok(()));
        (tokio::sync::oneshot::channel().0, shard, order)
    });
    answered.collect()
}

fn answer_all(waiting: Vec<Waiting>, error: WriteError) {
    for (reply, ..) in waiting {
        answer(reply, Err(error));
    }
}

fn answer(
    reply: tokio::sync::oneshot::Sender<Result<(), WriteError>>,
    result: Result<(), WriteError>,
) {
    // An error means that the actor has ended; the journal says what happened.
    let _ = reply.send(result);
}
