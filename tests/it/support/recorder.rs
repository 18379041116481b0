//! A WebSocket subscriber that checks I7 on every message, and comes back with what it has whenever
//! the connection is lost. It leaves an order that has ended: a connection may follow so many only.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use super::acknowledged::Acknowledged;

/// Longest wait between two attempts to come back.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// More orders than any test follows: following never waits for long.
const FOLLOW_QUEUE: usize = 4096;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A running recorder.
pub struct Recorder {
    follow: mpsc::Sender<Uuid>,
    last: Arc<Last>,
    task: JoinHandle<()>,
}

/// The last version of each order; `None` until there is one.
#[derive(Default)]
struct Last(Mutex<HashMap<Uuid, Option<u32>>>);

/// What is to be done about an order after a message.
enum Heard {
    /// Its subscription was refused: an owner may be restarting.
    Refused(Uuid),
    /// Nothing can come after this.
    Ended(Uuid),
}

impl Last {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Option<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Starts one on the order role at `base`. What it hears goes into `heard`, breaches too.
    pub fn start(base: &str, heard: Arc<Acknowledged>) -> Self {
        let (follow, wanted) = mpsc::channel(FOLLOW_QUEUE);
        let last = Arc::new(Last::default());
        let work = Work {
            url: format!("{}/api/v1/track", base.replace("http://", "ws://")),
            wanted,
            last: Arc::clone(&last),
            heard,
            followed: HashSet::new(),
        };
        Self {
            follow,
            last,
            task: tokio::spawn(work.run()),
        }
    }

    /// Follows one more order: by its id's parity from the beginning, or from a snapshot.
    pub async fn follow(&self, id: Uuid) {
        let sent = self.follow.send(id).await;
        sent.expect("the recorder runs");
    }

    /// The last version heard of each order.
    pub fn last(&self) -> HashMap<Uuid, Option<u32>> {
        self.last.lock().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Work {
    url: String,
    wanted: mpsc::Receiver<Uuid>,
    last: Arc<Last>,
    heard: Arc<Acknowledged>,
    /// Orders that have not ended.
    followed: HashSet<Uuid>,
}

impl Work {
    async fn run(mut self) {
        loop {
            if let Ok((socket, _)) = connect_async(&self.url).await {
                // However it ended, what follows is the same.
                let _ = self.listen(socket).await;
            }
            // The server may be on its way back.
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn listen(&mut self, mut socket: Socket) -> Option<()> {
        for id in &self.followed {
            self.subscribe(&mut socket, *id).await?;
        }
        // Subscriptions that were refused, to be made again.
        let mut refused: Vec<Uuid> = Vec::new();
        let mut again = tokio::time::interval(RETRY_EVERY);
        loop {
            tokio::select! {
                id = self.wanted.recv() => {
                    let id = id?;
                    self.last.lock().entry(id).or_default();
                    self.followed.insert(id);
                    self.subscribe(&mut socket, id).await?;
                }
                message = socket.next() => match message?.ok()? {
                    Message::Text(text) => match self.hear(&text) {
                        Some(Heard::Refused(id)) => refused.push(id),
                        Some(Heard::Ended(id)) => {
                            self.followed.remove(&id);
                            let leave = json!({"type": "unsubscribe", "orderId": id});
                            socket.send(Message::text(leave.to_string())).await.ok()?;
                        }
                        None => {}
                    },
                    Message::Close(_) => return None,
                    _ => {}
                },
                _ = again.tick() => for id in std::mem::take(&mut refused) {
                    self.subscribe(&mut socket, id).await?;
                }
            }
        }
    }

    async fn subscribe(&self, socket: &mut Socket, id: Uuid) -> Option<()> {
        let last = self.last.lock().get(&id).copied().flatten();
        let from_start = id.as_u128().is_multiple_of(2);
        let mut message = json!({"type": "subscribe", "orderId": id});
        if let Some(since) = last.or(from_start.then_some(0)) {
            message["since"] = since.into();
        }
        socket.send(Message::text(message.to_string())).await.ok()
    }

    /// Takes one message.
    fn hear(&self, text: &str) -> Option<Heard> {
        let message: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let id: Option<Uuid> = message["orderId"].as_str().and_then(|id| id.parse().ok());
        let status = match message["type"].as_str() {
            Some("snapshot") => {
                self.heard.note_view(&message["order"]);
                self.advance(id?, &message, false);
                &message["order"]["status"]
            }
            Some("update") => {
                self.heard.note(id, &message["version"], &message["status"]);
                self.advance(id?, &message, true);
                &message["status"]
            }
            Some("error") => return id.map(Heard::Refused),
            Some("location") => return None,
            _ => {
                let detail = format!("not a live message: {text}");
                self.heard.violated(Invariant::Live, &detail);
                return None;
            }
        };
        let has_ended = matches!(
            status.as_str(),
            Some("DELIVERED" | "REJECTED" | "CANCELLED")
        );
        id.filter(|_| has_ended).map(Heard::Ended)
    }

    fn advance(&self, id: Uuid, message: &Value, by_one: bool) {
        let version = message["version"]
            .as_u64()
            .and_then(|v| u32::try_from(v).ok());
        let version = version.unwrap_or(0);
        let mut orders = self.last.lock();
        let last = orders.entry(id).or_default();
        let before = last.unwrap_or(0);
        let rises = if by_one {
            version == before + 1
        } else {
            version > before
        };
        if !rises {
            let kind = message["type"].as_str().unwrap_or("");
            let detail = format!("{id}: {kind} {version} came after {before}");
            self.heard.violated(Invariant::Live, &detail);
        }
        *last = Some(version.max(before));
    }
}
