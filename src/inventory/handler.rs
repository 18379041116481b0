//! Applies batches of stock requests, each in one transaction.

use std::sync::Arc;

use async_trait::async_trait;

use super::requests::stock_request;
use crate::faults;
use crate::messaging::handler::{Handler, Reason, Verdict};
use crate::ports::bus::InMessage;
use crate::ports::clock::Clock;
use crate::ports::stock::{StockError, StockRequest, StockStore};

/// Code of a message whose data the database doesn't take.
const REFUSED: &str = "refused-by-database";

/// Requests from the bus to the ledger.
pub struct StockHandler {
    store: Arc<dyn StockStore>,
    clock: Arc<dyn Clock>,
}

impl StockHandler {
    /// Onto this store.
    pub fn new(store: Arc<dyn StockStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Applies what it can: a batch that holds data which the database refuses is halved until the
    /// culprit is alone. Once the database is away, the rest isn't tried.
    async fn apply(&self, requests: &[StockRequest]) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(requests.len());
        // Parts still to do, the next one last; at most one more for each halving.
        let mut parts = vec![requests];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.store.apply(part, self.clock.now()).await {
                Ok(_) => {
                    faults::crash(faults::points::CRASH_AFTER_STOCK);
                    verdicts.extend(part.iter().map(|_| Verdict::Done));
                }
                Err(StockError::BadRequest(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
                Err(StockError::Unavailable(error)) => {
                    let down = Verdict::DependencyDown(error.to_string());
                    verdicts.resize(requests.len(), down);
                    return verdicts;
                }
                Err(error) => {
                    // A single request that the database refuses; nothing else can fail here.
                    let verdict = Verdict::DeadLetter(Reason::new(REFUSED, full(&error)));
                    verdicts.extend(part.iter().map(|_| verdict.clone()));
                }
            }
        }
        verdicts
    }
}

#[async_trait]
impl Handler for StockHandler {
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<Verdict> {
        let read: Vec<Result<StockRequest, Reason>> =
            batch.iter().map(|message| stock_request(message)).collect();
        let requests: Vec<StockRequest> = read.iter().flatten().cloned().collect();
        let mut applied = self.apply(&requests).await.into_iter();
        read.into_iter()
            .map(|read| match read {
                Ok(_) => applied.next().unwrap_or_else(unanswered),
                Err(reason) => Verdict::DeadLetter(reason),
            })
            .collect()
    }
}

/// For a request without a verdict, which `apply` never leaves: tried again rather than lost.
fn unanswered() -> Verdict {
    Verdict::Busy(Reason::new("unanswered", "the request was not answered"))
}

fn full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
