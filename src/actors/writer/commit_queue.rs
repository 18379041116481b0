//! The loop of one commit queue: takes the waiting jobs, commits the appends in batches, and starts the
//! loads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::job::{AppendJob, Job, LoadJob};
use super::shared::Shared;
use super::{commit, load};
use crate::actors::weight;
use crate::ports::journal::{APPEND_BYTES_MAX, APPEND_ROWS_MAX};

/// The shortest time between the starts of two rounds of commits: a commit has a cost that doesn't depend on
/// how many rows share it. Under load a round takes longer than this, so the pace adds no wait.
const PACE: Duration = Duration::from_millis(5);

/// Runs until `stop` is cancelled and nothing waits.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Job>,
    stop: CancellationToken,
) {
    let mut waiting = Vec::with_capacity(APPEND_ROWS_MAX);
    let mut next_start = Instant::now();
    loop {
        let taken = tokio::select! {
            biased;
            taken = queue.recv_many(&mut waiting, APPEND_ROWS_MAX) => taken,
            () = stop.cancelled() => {
                queue.close();
                queue.recv_many(&mut waiting, APPEND_ROWS_MAX).await
            }
        };
        if taken == 0 {
            return;
        }
        // Loads alone don't wait: they need only the appends that were queued before them. A full batch
        // doesn't wait either.
        let gathers = waiting.len() < APPEND_ROWS_MAX
            && waiting.iter().any(|job| matches!(job, Job::Append(_)));
        if gathers && Instant::now() < next_start {
            tokio::select! {
                () = sleep_until(next_start) => {}
                () = stop.cancelled() => {}
            }
            while waiting.len() < APPEND_ROWS_MAX
                && let Ok(job) = queue.try_recv()
            {
                waiting.push(job);
            }
        }
        let (appends, loads) = sort(waiting.drain(..));
        if !appends.is_empty() {
            next_start = Instant::now() + PACE;
        }
        for batch in batches(appends) {
            commit::commit(&shared, batch).await;
        }
        if !loads.is_empty() {
            // The appends that were queued before the loads are committed. The next batch need not wait for
            // the loads.
            shared.tasks.spawn(load::load(Arc::clone(&shared), loads));
        }
    }
}

fn sort(jobs: impl Iterator<Item = Job>) -> (Vec<AppendJob>, Vec<LoadJob>) {
    let (mut appends, mut loads) = (Vec::new(), Vec::new());
    for job in jobs {
        match job {
            Job::Append(job) => appends.push(*job),
            Job::Load(job) => loads.push(job),
        }
    }
    (appends, loads)
}

/// Splits the appends into batches of one statement each.
fn batches(jobs: Vec<AppendJob>) -> Vec<Vec<AppendJob>> {
    let (mut batches, mut batch, mut bytes) = (Vec::with_capacity(1), Vec::new(), 0);
    // Usually one batch holds all of them; then nothing is moved but the jobs themselves.
    batch.reserve_exact(jobs.len());
    for job in jobs {
        let more = weight::row(&job.row);
        if bytes + more > APPEND_BYTES_MAX && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += more;
        batch.push(job);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
