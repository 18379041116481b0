//! Applies batches of stock requests, each in one transaction. Leaves reading messages to
//! [`super::requests`], and the ledger to the store.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use trackops_cluster::outage::causes;

use super::requests::stock_request;
use crate::faults;
use crate::messaging::handler::{Handler, HandlerOutcome, Reason};
use crate::ports::bus::InMessage;
use crate::ports::clock::Clock;
use crate::ports::stock::{StockError, StockOutcome, StockRequest, StockStore};

/// Code of a message whose data the database doesn't take.
const REFUSED: &str = "refused-by-database";

/// Code of a message whose order, or an item of it, can't be read from the database.
const UNREADABLE: &str = "unreadable-stock";

/// Applies requests from the bus to the ledger.
pub struct StockHandler {
    store: Arc<dyn StockStore>,
    clock: Arc<dyn Clock>,
    /// Allows one transaction at a time, because transactions lock the same popular items.
    turn: Semaphore,
}

impl StockHandler {
    /// A handler that applies requests to `store`.
    pub fn new(store: Arc<dyn StockStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            turn: Semaphore::new(1),
        }
    }

    /// Applies as many requests as it can. A batch with data that the database refuses is halved until
    /// the culprit is alone. If the database is away, the rest isn't tried.
    async fn apply(&self, requests: &[StockRequest]) -> Vec<HandlerOutcome> {
        let mut verdicts = Vec::with_capacity(requests.len());
        // The parts still to do, the next one last. Each halving adds at most one.
        let mut parts = vec![requests];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.store.apply(part, self.clock.now()).await {
                Ok(outcomes) => {
                    faults::crash(faults::points::CRASH_AFTER_STOCK);
                    verdicts.extend(outcomes.into_iter().map(verdict));
                }
                Err(StockError::BadRequest(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
                Err(StockError::Unavailable(error)) => {
                    let down = HandlerOutcome::DependencyDown(error.to_string());
                    verdicts.resize(requests.len(), down);
                    return verdicts;
                }
                Err(error) => {
                    // A single request that the database refuses; nothing else can fail here.
                    let verdict = HandlerOutcome::DeadLetter(Reason::new(REFUSED, causes(&error)));
                    verdicts.extend(part.iter().map(|_| verdict.clone()));
                }
            }
        }
        verdicts
    }
}

#[async_trait]
impl Handler for StockHandler {
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome> {
        let read: Vec<Result<StockRequest, Reason>> =
            batch.iter().map(|message| stock_request(message)).collect();
        let requests: Vec<StockRequest> = read.iter().flatten().cloned().collect();
        // The semaphore is never closed. The next batch is read while the one before commits.
        let _turn = self.turn.acquire().await;
        let mut applied = self.apply(&requests).await.into_iter();
        read.into_iter()
            .map(|read| match read {
                Ok(_) => applied.next().unwrap_or_else(unanswered),
                Err(reason) => HandlerOutcome::DeadLetter(reason),
            })
            .collect()
    }
}

fn verdict(outcome: StockOutcome) -> HandlerOutcome {
    match outcome {
        StockOutcome::Applied(_) | StockOutcome::Repeated | StockOutcome::Ignored => {
            HandlerOutcome::Done
        }
        StockOutcome::Unreadable(why) => HandlerOutcome::DeadLetter(Reason::new(UNREADABLE, why)),
    }
}

/// The outcome of a request for which `apply` gave none, which never happens: it is tried again rather
/// than lost.
fn unanswered() -> HandlerOutcome {
    HandlerOutcome::Busy(Reason::new("unanswered", "the request was not answered"))
}
