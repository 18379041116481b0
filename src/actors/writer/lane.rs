//! One lane: takes what waits, commits it as one batch, looks up what was asked for, and again.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{AppendJob, Job, LoadJob, Shared, commit, load};
use crate::ports::journal::APPEND_ROWS_MAX;

/// Runs until `stop` is cancelled and nothing waits.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Job>,
    stop: CancellationToken,
) {
    let mut waiting = Vec::with_capacity(APPEND_ROWS_MAX);
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
        let (appends, loads) = sort(waiting.drain(..));
        if !appends.is_empty() {
            commit::commit(&shared, appends).await;
        }
        if !loads.is_empty() {
            // Behind the appends that were queued before them; the next batch need not wait for them.
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
