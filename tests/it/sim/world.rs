//! The nodes of a run, and what befalls them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::passes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use trackops_cluster::lease_keeper::LeaseState;
use trackops_cluster::link::memory::NetworkFaults;
use trackops_cluster::membership::NodeId;

use super::dice::Dice;
use super::gate::Gate;
use super::history::History;
use super::replica::{Life, Lines, Shared};
use super::trace::Trace;

pub struct World {
    pub shared: Shared,
    pub trace: Trace,
    pub slots: Vec<Slot>,
    pub history: History,
    /// No more faults, no more commands.
    pub is_over: AtomicBool,
}

/// A place for a node, whose lives follow each other.
pub struct Slot {
    pub name: String,
    life: Mutex<Option<Arc<Life>>>,
    drain: Notify,
}

impl World {
    pub fn new(shared: Shared, trace: Trace, nodes: usize) -> Arc<Self> {
        let slots = ["a", "b", "c", "d"][..nodes].iter().map(|name| Slot {
            name: (*name).into(),
            life: Mutex::new(None),
            drain: Notify::new(),
        });
        Arc::new(Self {
            slots: slots.collect(),
            history: History::new(trace.clone(), shared.journal.clone()),
            shared,
            trace,
            is_over: AtomicBool::new(false),
        })
    }

    /// The nodes that are there, stopped ones too.
    pub fn lives(&self) -> Vec<Arc<Life>> {
        let lives = self.slots.iter().map(|slot| slot.life.lock().clone());
        lives.flatten().collect()
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The lives of one node, one after the other.
    pub async fn live(self: Arc<Self>, index: usize, mut dice: Dice) {
        let slot = &self.slots[index];
        let name = &slot.name;
        loop {
            let gate = Arc::new(Gate::new());
            let lines = Lines::new(&gate, &mut dice);
            let started = Life::start(&self.shared, name, gate, lines, &mut dice).await;
            let Some(life) = started else {
                passes(Duration::from_millis(100)).await;
                continue;
            };
            self.trace.say(format_args!("{name} is up"));
            *slot.life.lock() = Some(Arc::clone(&life));
            let mut lease_state = life.lease_state.clone();
            let deposed = async {
                let told = lease_state.wait_for(|lease_state| *lease_state == LeaseState::Deposed);
                if told.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let drained = async {
                slot.drain.notified().await;
                life.coordinator.drain(Duration::from_secs(3)).await
            };
            tokio::select! {
                biased;
                () = life.gate.death() => {
                    self.trace.say(format_args!("{name} is dead"));
                    slot.life.lock().take();
                    tokio::spawn(Arc::clone(&life).end(Duration::ZERO));
                    passes(dice.millis(50, 2500)).await;
                }
                () = deposed => {
                    self.trace.say(format_args!("{name} is deposed"));
                    life.node.ownership().suspend_all();
                    slot.life.lock().take();
                    self.finish(name, &life).await;
                }
                drained = drained => {
                    self.trace.say(format_args!("{name} is drained: {drained}"));
                    slot.life.lock().take();
                    self.finish(name, &life).await;
                    passes(dice.millis(50, 1500)).await;
                }
            }
        }
    }

    /// In good order, and for ever.
    async fn finish(&self, name: &str, life: &Arc<Life>) {
        let end = Arc::clone(life).end(Duration::from_secs(1));
        tokio::select! {
            biased;
            () = end => {}
            () = life.gate.death() => {}
            () = passes(Duration::from_secs(20)) => self.trace.wrong(format!("{name} doesn't end")),
        }
        self.shared.network.crash(&NodeId(name.into()));
        life.gate.kill();
    }

    /// Faults, until the run is over; then none.
    pub async fn befall(self: &Arc<Self>, mut dice: Dice, steps: usize) {
        for _ in 0..steps {
            passes(dice.millis(30, 900)).await;
            self.fault(&mut dice);
        }
        passes(dice.millis(0, 1000)).await;
        self.is_over.store(true, Ordering::SeqCst);
        self.trace.say(format_args!("all is well"));
        self.shared.network.heal_all();
        self.shared.network.set_faults(NetworkFaults::default());
        for life in self.lives() {
            Self::heal(&life);
            life.gate.go_on();
        }
    }

    fn heal(life: &Life) {
        life.lines.cut(false);
        for line in [
            &life.lines.journal,
            &life.lines.membership,
            &life.lines.renewals,
            &life.lines.cache,
        ] {
            line.trouble(0, 3);
        }
    }

    fn fault(self: &Arc<Self>, dice: &mut Dice) {
        let net = &self.shared.network;
        let kind = dice.below(14);
        let (one, other) = (dice.below(self.slots.len()), dice.below(self.slots.len()));
        let (some, another) = (&self.slots[one], &self.slots[other]);
        let (from, to) = (NodeId(some.name.clone()), NodeId(another.name.clone()));
        let (per_mille, slowest) = (dice.draw() % 150, 3 + dice.draw() % 40);
        let limit = dice.millis(200, 4500);
        let life = some.life.lock().clone();
        let names = format!("{} {}", from.0, to.0);
        match (kind, life) {
            (0 | 1, _) => {
                let per_mille = u16::try_from(per_mille / 2).expect("small");
                self.trace.say(format_args!("faults {per_mille} {slowest}"));
                net.set_faults(NetworkFaults {
                    delay_min: Duration::ZERO,
                    delay_max: Duration::from_millis(slowest),
                    unsent_per_mille: per_mille,
                    lost_requests_per_mille: per_mille,
                    lost_answers_per_mille: per_mille,
                    breaks_per_mille: per_mille / 4,
                });
            }
            (2, _) => {
                self.trace.say(format_args!("cut {names}"));
                net.cut(&from, &to);
            }
            (3, _) => {
                self.trace.say(format_args!("cut both {names}"));
                net.cut_both(&from, &to);
            }
            (4, _) => {
                self.trace.say(format_args!("heal {names}"));
                net.heal(&from, &to);
            }
            (5 | 6, Some(life)) if life.gate.is_running() => self.stop_for(some, life, limit),
            (7, Some(life)) => {
                self.trace.say(format_args!("kill {}", some.name));
                life.gate.kill();
                net.crash(&from);
            }
            (8, Some(life)) => {
                self.trace
                    .say(format_args!("no database {} {limit:?}", some.name));
                life.lines.cut(true);
                tokio::spawn(async move {
                    passes(limit).await;
                    life.lines.cut(false);
                });
            }
            (9, Some(life)) => {
                self.trace
                    .say(format_args!("no renewals {} {limit:?}", some.name));
                life.lines.renewals.cut(true);
                tokio::spawn(async move {
                    passes(limit).await;
                    life.lines.renewals.cut(false);
                });
            }
            (10, Some(life)) => {
                self.trace
                    .say(format_args!("bad database {} {per_mille}", some.name));
                life.lines.journal.trouble(per_mille, slowest);
                life.lines.membership.trouble(per_mille, slowest);
            }
            (11, Some(life)) => {
                self.trace
                    .say(format_args!("bad cache {} {per_mille}", some.name));
                life.lines.cache.trouble(per_mille * 2, slowest);
            }
            (12, Some(life)) => {
                let hours = i64::from(one == other) * 2 - 1;
                self.trace
                    .say(format_args!("clock {} {hours} h", some.name));
                *life.clock.offset_ms.lock() = hours * 3_600_000;
            }
            (13, Some(_)) => {
                self.trace.say(format_args!("drain {}", some.name));
                some.drain.notify_one();
            }
            _ => {}
        }
    }

    /// As by SIGSTOP: its peers hear nothing of it.
    fn stop_for(self: &Arc<Self>, slot: &Slot, life: Arc<Life>, limit: Duration) {
        self.trace.say(format_args!("stop {} {limit:?}", slot.name));
        life.gate.stop();
        let me = NodeId(slot.name.clone());
        let others = self.slots.iter().filter(|other| other.name != slot.name);
        let others: Vec<_> = others.map(|other| NodeId(other.name.clone())).collect();
        for other in &others {
            self.shared.network.cut_both(&me, other);
        }
        let world = Arc::clone(self);
        tokio::spawn(async move {
            passes(limit).await;
            if !life.gate.is_dead() {
                world.trace.say(format_args!("{} goes on", me.0));
                for other in &others {
                    world.shared.network.heal(&me, other);
                }
                life.gate.go_on();
            }
        });
    }
}
