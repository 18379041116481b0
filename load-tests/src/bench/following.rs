//! Places orders and follows some of them by WebSocket until they are CONFIRMED. Few enough that the
//! following costs nothing worth counting: the sockets are part of what is measured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::SmallRng;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::http::Response;
use crate::live::{Fleet, Frame, Sink, subscribe, unsubscribe};
use crate::load::{Latencies, Plan, Summary, Timing, Traffic};
use crate::order::{PlaceOrders, placed_id};

/// Orders that are followed, a second: 600 samples in 12 s, of which p99 is the sixth longest.
const FOLLOWED_PER_SECOND: u32 = 50;
const SOCKETS: usize = 4;
/// Subscriptions that haven't been written; what comes beyond it isn't followed.
const COMMANDS_MAX: usize = 1024;
/// The last frames may be on their way when the journal knows of every confirmation.
const FRAMES_MAX: Duration = Duration::from_secs(5);

/// The traffic of one run: `PlaceOrders`, with every so-manyth order followed.
pub struct Following {
    orders: PlaceOrders,
    every: u64,
    measured_from: u64,
    commands: mpsc::Sender<Command>,
    waiting: Arc<Waiting>,
}

/// What is to be written to the order's socket.
enum Command {
    Follow(Uuid),
    Leave(Uuid),
}

/// Orders that are followed and not CONFIRMED yet, by when they were due, and what came of the others.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    due: HashMap<Uuid, Instant>,
    confirmed: Latencies,
}

/// The sockets of one run.
pub struct Followers {
    fleet: Arc<Fleet>,
    sending: JoinHandle<()>,
    waiting: Arc<Waiting>,
}

/// What the followers saw.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Followed {
    /// From the intended send time to reading the frame.
    pub confirmed: Summary,
    /// Followed, and never seen CONFIRMED.
    pub missing: usize,
}

/// Opens the sockets for a run of `plan` on `server`.
pub async fn follow(server: SocketAddr, plan: &Plan) -> Result<(Arc<Following>, Followers)> {
    let waiting = Arc::new(Waiting::default());
    let (commands, to_send) = mpsc::channel(COMMANDS_MAX);
    let sink = Arc::new(Confirmations {
        waiting: Arc::clone(&waiting),
        commands: commands.downgrade(),
    });
    let fleet = Arc::new(Fleet::connect(server, SOCKETS, sink).await?);
    let sending = tokio::spawn(send_all(Arc::clone(&fleet), to_send));
    let following = Following {
        orders: PlaceOrders::new(server),
        every: u64::from(plan.rate.div_ceil(FOLLOWED_PER_SECOND)).max(1),
        measured_from: plan.warm_up_slots,
        commands,
        waiting: Arc::clone(&waiting),
    };
    let followers = Followers {
        fleet,
        sending,
        waiting,
    };
    Ok((Arc::new(following), followers))
}

impl Traffic for Following {
    fn request(&self, slot: u64, rng: &mut SmallRng, request: &mut Vec<u8>) {
        self.orders.request(slot, rng, request);
    }

    fn answered(&self, slot: u64, timing: Timing, response: &Response<'_>) {
        let is_chosen = slot >= self.measured_from && slot.is_multiple_of(self.every);
        if response.status != 201 || !is_chosen {
            return;
        }
        let Some(id) = placed_id(response) else {
            return;
        };
        if self.commands.try_send(Command::Follow(id)).is_ok() {
            self.waiting.lock().due.insert(id, timing.due);
        }
    }
}

impl Followers {
    /// What was seen, once everything that was placed has been confirmed. Closes the sockets.
    pub async fn finish(self) -> Result<Followed> {
        let deadline = Instant::now() + FRAMES_MAX;
        loop {
            let news = self.waiting.news.notified();
            let all_seen = self.waiting.lock().due.is_empty();
            let late = tokio::time::timeout_at(deadline.into(), news);
            if all_seen || late.await.is_err() {
                break;
            }
        }
        self.fleet.check()?;
        self.sending.abort();
        // Its end drops the other handle of the fleet; a cancelled task is no error.
        let _ = self.sending.await;
        if let Ok(fleet) = Arc::try_unwrap(self.fleet) {
            fleet.close().await;
        }
        let state = self.waiting.lock();
        Ok(Followed {
            confirmed: state.confirmed.summary(),
            missing: state.due.len(),
        })
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the frames. Doesn't keep the channel open: the traffic does.
struct Confirmations {
    waiting: Arc<Waiting>,
    commands: mpsc::WeakSender<Command>,
}

impl Sink for Confirmations {
    fn frame(&self, frame: &Frame<'_>, at: Instant) {
        let (Some("CONFIRMED"), Some(id)) = (frame.status(), frame.order_id) else {
            return;
        };
        let mut state = self.waiting.lock();
        if let Some(due) = state.due.remove(&id) {
            state.confirmed.record(at.saturating_duration_since(due));
            self.waiting.news.notify_one();
            if let Some(commands) = self.commands.upgrade() {
                // One subscription more at the end of the run, if there is no room.
                let _ = commands.try_send(Command::Leave(id));
            }
        }
    }
}

/// Every command of an order goes to the same socket.
async fn send_all(fleet: Arc<Fleet>, mut to_send: mpsc::Receiver<Command>) {
    while let Some(command) = to_send.recv().await {
        // From version 1 on: a confirmation that was faster than this comes at once.
        let (id, text) = match command {
            Command::Follow(id) => (id, subscribe(id, 1)),
            Command::Leave(id) => (id, unsubscribe(id)),
        };
        let socket = usize::from(id.as_bytes()[15]);
        if fleet.send(socket, text).await.is_err() {
            // `Followers::finish` says so.
            return;
        }
    }
}
