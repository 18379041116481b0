//! Whether a node runs, is stopped for a while, or is dead. Everything that leaves or enters the node
//! passes here: so to the outside a stopped node does nothing, and on waking finds that time has passed.

use parking_lot::Mutex;
use trackops_cluster::changes::Changes;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Stopped,
    Dead,
}

pub struct Gate {
    state: Mutex<State>,
    changes: Changes,
}

impl Gate {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State::Running),
            changes: Changes::default(),
        }
    }

    /// Waits while the node is stopped; for ever once it is dead.
    pub async fn pass(&self) {
        self.until(State::Running).await;
    }

    /// Returns when the node has died.
    pub async fn death(&self) {
        self.until(State::Dead).await;
    }

    pub fn is_running(&self) -> bool {
        *self.state.lock() == State::Running
    }

    pub fn is_dead(&self) -> bool {
        *self.state.lock() == State::Dead
    }

    pub fn stop(&self) {
        self.change(State::Stopped);
    }

    pub fn go_on(&self) {
        self.change(State::Running);
    }

    pub fn kill(&self) {
        self.change(State::Dead);
    }

    async fn until(&self, wanted: State) {
        let mut changes = self.changes.subscribe();
        let seen = changes.wait_for(|_| *self.state.lock() == wanted).await;
        seen.expect("lives as long as the gate");
    }

    fn change(&self, to: State) {
        let mut state = self.state.lock();
        if *state != State::Dead {
            *state = to;
        }
        drop(state);
        self.changes.tell();
    }
}
