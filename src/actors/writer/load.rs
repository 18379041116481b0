//! Loads the orders that one batch of jobs asks for, in one round trip.

use std::sync::Arc;

use super::job::LoadJob;
use super::shared::Shared;
use crate::ports::journal::{JournalError, LOAD_ORDERS_MAX};

/// Loads every order of `jobs`, some at a time. An order that can't be read fails alone.
pub(super) async fn load(shared: Arc<Shared>, mut jobs: Vec<LoadJob>) {
    while !jobs.is_empty() {
        let rest = jobs.split_off(jobs.len().min(LOAD_ORDERS_MAX));
        load_some(&shared, jobs).await;
        jobs = rest;
    }
}

async fn load_some(shared: &Shared, mut jobs: Vec<LoadJob>) {
    // The semaphore is never closed. Loads of many batches may wait here; each holds only an id.
    let _one = shared.loads.acquire().await;
    // Drops the jobs whose actor has ended meanwhile.
    jobs.retain(|job| !job.reply.is_closed());
    if jobs.is_empty() {
        return;
    }
    let orders: Vec<_> = jobs.iter().map(|job| job.order).collect();
    match shared.journal.load(&orders).await {
        Ok(loaded) => {
            for (job, order) in jobs.into_iter().zip(loaded) {
                // Nobody waits any more: the actor has ended.
                drop(job.reply.send(Ok(order)));
            }
        }
        // One of the orders can't be read, so each is loaded alone. A journal that is away would fail for
        // each of them too.
        Err(JournalError::Corrupt(_)) if jobs.len() > 1 => {
            for job in jobs {
                let alone = shared.journal.load(&[job.order]).await;
                drop(
                    job.reply
                        .send(alone.map(|mut orders| orders.pop().flatten())),
                );
            }
        }
        Err(error) => answer_alone(jobs, error),
    }
}

fn answer_alone(jobs: Vec<LoadJob>, error: JournalError) {
    let mut error = Some(error);
    for job in jobs {
        let error = error
            .take()
            .unwrap_or_else(|| JournalError::Unavailable("load failed".into()));
        drop(job.reply.send(Err(error)));
    }
}
