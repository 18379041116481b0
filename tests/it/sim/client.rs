//! Clients: they place, advance, cancel, read and listen through whatever node they find. What has a
//! key they try again under it; what has none they give up when the answer is lost, for only the
//! cluster may send it again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::passes;
use trackops::model::order_request::{CommandRequest, PlaceKey, PlaceRequest, keyed_order_id};
use trackops::model::orders_error::OrdersError;
use trackops::ports::live::{LiveItem, LiveListener};
use trackops::ports::orders::{Orders as _, OrdersExt as _};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::placed::Placed;
use trackops_domain::status::Status;

use super::dice::Dice;
use super::replica::Life;
use super::world::World;

/// Nobody waits longer, come what may.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a placement with a key is tried.
const PLACINGS_MAX: u32 = 30;
/// How often a command with a key is tried.
const COMMANDINGS_MAX: u32 = 12;

pub struct Client {
    pub world: Arc<World>,
    pub number: usize,
    pub dice: Dice,
    pub content: Arc<Placed>,
}

impl Client {
    pub async fn run(mut self) {
        let mut placed = 0;
        while !self.world.is_over() {
            passes(self.dice.millis(0, 150)).await;
            let orders = self.world.history.orders();
            if orders.is_empty() || (placed < 2 && self.dice.chance(200)) {
                placed += 1;
                self.place(placed).await;
                continue;
            }
            let order = orders[self.dice.below(orders.len())];
            if self.dice.chance(450) {
                self.read(order).await;
            } else {
                self.command(order).await;
            }
        }
    }

    /// Has `work` done by some node; `None` if the client hears nothing.
    async fn at_a_node<T, F>(&mut self, work: impl FnOnce(Arc<Life>) -> F) -> Option<T>
    where
        F: Future<Output = T>,
    {
        let lives = self.world.lives();
        let hasty = self.dice.chance(150).then(|| self.dice.millis(5, 1500));
        if lives.is_empty() {
            passes(Duration::from_millis(50)).await;
            return None;
        }
        let life = Arc::clone(&lives[self.dice.below(lives.len())]);
        let gate = Arc::clone(&life.gate);
        let answered = async {
            gate.pass().await;
            let answer = work(life).await;
            gate.pass().await;
            answer
        };
        tokio::select! {
            biased;
            () = gate.death() => None,
            answer = answered => Some(answer),
            () = passes(hasty.unwrap_or(PATIENCE)) => {
                if hasty.is_none() {
                    self.world.trace.wrong(format!("client {} waits for ever", self.number));
                }
                None
            }
        }
    }

    async fn place(&mut self, number: usize) {
        let key = format!("{} {number}", self.number);
        let is_keyed = self.dice.chance(500);
        let request = PlaceRequest {
            content: Arc::clone(&self.content),
            key: is_keyed.then(|| PlaceKey {
                order: keyed_order_id(&Caller::anonymous(), &key),
                body: [7; 32],
            }),
            caller: Caller::anonymous(),
            traceparent: None,
        };
        self.world.history.places();
        for _ in 0..tries(is_keyed, PLACINGS_MAX) {
            let request = request.clone();
            let placed = self
                .at_a_node(|life| async move { life.router.place(request).await })
                .await;
            let text = placed
                .as_ref()
                .map(|p| p.as_ref().map(|d| d.order.version()));
            self.world.trace.say(format_args!("{key} placed: {text:?}"));
            match placed {
                Some(Ok(done)) => {
                    let order = &done.order;
                    let history = &self.world.history;
                    if done.replayed && !is_keyed {
                        let text = format!("{} was placed once, and replayed", order.id);
                        self.world.trace.wrong(text);
                    }
                    history.told("placing", order.id, Version(0), order.version());
                    history.acknowledged(order.id, CommandId(order.id.0));
                    return;
                }
                Some(Err(error)) if !is_retryable(&error) => {
                    self.world.trace.wrong(format!("{key} not placed: {error}"));
                    return;
                }
                _ => passes(self.dice.millis(10, 300)).await,
            }
        }
    }

    async fn read(&mut self, order: OrderId) {
        let floor = self.world.history.floor(order);
        let read = self
            .at_a_node(|life| async move { life.router.read(order, &Caller::anonymous()).await })
            .await;
        match read {
            Some(Ok(read)) => {
                let (number, version) = (self.number, read.version);
                self.world.history.check_age(order, &read);
                self.world
                    .trace
                    .say(format_args!("{number} reads {version} of {order}"));
                self.world.history.told("a read", order, floor, version);
            }
            Some(Err(error)) if !is_retryable(&error) => {
                self.world.trace.wrong(format!("{order} not read: {error}"));
            }
            _ => {}
        }
    }

    fn any_command(&mut self) -> Command {
        match self.dice.below(12) {
            0..4 => Command::StockReserved,
            4..6 => Command::advance(Status::Preparing),
            6..8 => Command::advance(Status::InTransit),
            8..10 => Command::advance(Status::Delivered),
            10 => Command::Cancel {
                reason: "so".into(),
            },
            _ => Command::StockReleased,
        }
    }

    async fn command(&mut self, order: OrderId) {
        let id = uuid::Uuid::from_u64_pair(self.dice.draw(), self.dice.draw());
        let floor = self.world.history.floor(order);
        let conditional = self.dice.chance(300);
        let is_keyed = self.dice.chance(500);
        let request = CommandRequest {
            order,
            id: CommandId(id),
            keyed: is_keyed,
            caller: Caller::anonymous(),
            if_match: conditional.then(|| vec![floor]),
            command: self.any_command(),
            traceparent: None,
        };
        let id = request.id;
        for attempt in 0..tries(is_keyed, COMMANDINGS_MAX) {
            let request = request.clone();
            let name = request.command.name();
            let was_applied = self.world.history.was_applied(order, id);
            let floor = self.world.history.floor(order);
            let done = self
                .at_a_node(|life| async move { life.router.execute(request).await })
                .await;
            let text = done.as_ref().map(|d| d.as_ref().map(|d| d.order.version()));
            let number = self.number;
            self.world
                .trace
                .say(format_args!("{number} {name} {order}: {text:?}"));
            let history = &self.world.history;
            match done {
                Some(Ok(done)) => {
                    let floor = if attempt == 0 { floor } else { Version(0) };
                    history.told("a command", order, floor, done.order.version());
                    // What changed nothing, or only the books, is remembered for a while at most.
                    let version = done.order.version();
                    let entry = done.order.entry(version);
                    if entry.is_some_and(|entry| entry.command == id) {
                        history.acknowledged(order, id);
                    }
                    return;
                }
                Some(Err(error)) if is_retryable(&error) => {}
                Some(Err(error)) => {
                    // Of a first try too: the cluster may have sent it twice.
                    if was_applied || (attempt == 0 && history.was_applied(order, id)) {
                        let text = format!("{name} of {order} succeeded, and then: {error}");
                        self.world.trace.wrong(text);
                    }
                    match error {
                        OrdersError::PreconditionFailed { current } => {
                            history.told("a refusal", order, floor, current);
                        }
                        OrdersError::Rejected(_) => {}
                        other => self
                            .world
                            .trace
                            .wrong(format!("{name} of {order}: {other}")),
                    }
                    return;
                }
                None => {}
            }
            passes(self.dice.millis(5, 250)).await;
        }
    }

    /// Listens to one order until the end of the run.
    pub async fn listen(mut self) {
        let order = loop {
            let orders = self.world.history.orders();
            if !orders.is_empty() {
                break orders[self.dice.below(orders.len())];
            }
            passes(self.dice.millis(20, 200)).await;
        };
        loop {
            let since = self.world.history.listens(self.number, order);
            let floor = self.world.history.floor(order);
            let (world, number) = (Arc::clone(&self.world), self.number);
            let mut used = None;
            let subscribed = self
                .at_a_node(|life| {
                    let listener = Arc::new(Listener {
                        world,
                        number,
                        life: Arc::clone(&life),
                        is_ended: std::sync::atomic::AtomicBool::new(false),
                    });
                    used = Some((Arc::clone(&life), Arc::clone(&listener)));
                    async move { life.router.subscribe(order, since, listener).await }
                })
                .await;
            if let (Some((life, listener)), Some(Ok(as_of))) = (&used, &subscribed) {
                let history = &self.world.history;
                history.told("a subscription", order, floor, as_of.version());
                let bored = self.dice.millis(500, 6000);
                let is_over = Arc::clone(&self.world);
                tokio::select! {
                    biased;
                    () = life.gate.death() => {}
                    () = life.over.cancelled() => {}
                    () = passes(bored) => if is_over.is_over() {
                        // It stays until the end.
                        tokio::select! {
                            biased;
                            () = life.gate.death() => {}
                            () = life.over.cancelled() => {}
                        }
                    }
                }
                listener.end();
                life.hub.detach(order, listener.id());
            } else if let Some((_, listener)) = &used {
                listener.end();
            }
            passes(self.dice.millis(5, 200)).await;
        }
    }
}

/// Without a key, another try would be another order or command.
fn tries(is_keyed: bool, most: u32) -> u32 {
    if is_keyed { most } else { 1 }
}

fn is_retryable(error: &OrdersError) -> bool {
    matches!(
        error,
        OrdersError::Restarted
            | OrdersError::Overloaded { .. }
            | OrdersError::NotOwner
            | OrdersError::LeaseOver
            | OrdersError::Unavailable { .. }
            | OrdersError::OwnerUnavailable { .. }
    )
}

struct Listener {
    world: Arc<World>,
    number: usize,
    life: Arc<Life>,
    is_ended: std::sync::atomic::AtomicBool,
}

impl Listener {
    fn end(&self) {
        self.is_ended
            .store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

impl LiveListener for Listener {
    fn id(&self) -> u64 {
        std::ptr::from_ref(self).addr() as u64
    }

    fn deliver(&self, item: LiveItem) {
        let is_ended = self.is_ended.load(std::sync::atomic::Ordering::SeqCst);
        if is_ended || self.life.gate.is_dead() || self.life.over.is_cancelled() {
            return;
        }
        let history = &self.world.history;
        match item {
            LiveItem::Update { version, .. } => history.hears(self.number, false, version),
            LiveItem::Snapshot { order, .. } => history.hears(self.number, true, order.version()),
            LiveItem::Location { .. } => {}
        }
    }
}
