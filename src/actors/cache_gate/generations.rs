//! Which generation a shard's cached entries must carry to be believed, if any. Others decide when a
//! generation is raised, and raise it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops_cluster::{ShardCount, ShardId};

use crate::ports::journal::BoxError;

/// Raises the cache generation of shards in the database.
#[async_trait]
pub trait GenerationRaiser: Send + Sync + 'static {
    /// Raises the generations of those of `shards` that this replica still owns, and returns the new ones.
    async fn raise(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, i64)>, BoxError>;
}

/// One number per shard, changed by compare-and-set: `generation * 4 + tag`.
pub(super) struct Generations {
    shards: Box<[AtomicI64]>,
    /// The cache's connection under which every known generation's entries were written.
    session: AtomicU64,
    /// Held while a change of connection takes effect, so that nobody sees the new number before its effect.
    changing: Mutex<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The shard is not this replica's; the generation is the last one that it knew, or -1.
    Unowned(i64),
    /// Entries of exactly this generation may be believed.
    Known(i64),
    /// Nothing may be believed until a higher generation is stored.
    Distrusted(i64),
}

impl Generations {
    /// Knows nothing yet.
    pub(super) fn new(session: u64) -> Self {
        let unowned = || AtomicI64::new(State::Unowned(-1).pack());
        Self {
            // 32 KiB for the largest shard count.
            shards: (0..ShardCount::MAX).map(|_| unowned()).collect(),
            session: AtomicU64::new(session),
            changing: Mutex::new(()),
        }
    }

    pub(super) fn known(&self, shard: ShardId) -> Option<i64> {
        let state = self.shards.get(usize::from(shard.0))?;
        match State::unpack(state.load(Ordering::SeqCst)) {
            State::Known(generation) => Some(generation),
            _ => None,
        }
    }

    pub(super) fn claimed(&self, shard: ShardId, generation: i64) {
        self.change(shard, |state| {
            (generation > state.generation()).then_some(State::Known(generation))
        });
    }

    pub(super) fn released(&self, shard: ShardId) -> Option<i64> {
        match self.change(shard, |_| Some(State::Unowned(-1))) {
            Some(State::Known(generation)) => Some(generation),
            _ => None,
        }
    }

    /// Believes no entry of `shard` any more. If `only` is given, this happens only if it is the generation
    /// believed now: an entry that failed under an older generation was never believed under this one.
    pub(super) fn distrust(&self, shard: ShardId, only: Option<i64>) {
        self.change(shard, |state| match state {
            State::Known(generation) if only.is_none_or(|only| only == generation) => {
                Some(State::Distrusted(generation))
            }
            _ => None,
        });
    }

    /// Compares the cache's connection with the last one. If it is another, nothing is believed any more.
    /// Returns whether it is another.
    pub(super) fn note_session(&self, session: impl Fn() -> u64) -> bool {
        if session() == self.session.load(Ordering::SeqCst) {
            return false;
        }
        let _one = self.changing.lock();
        let now = session();
        if now == self.session.load(Ordering::SeqCst) {
            return false;
        }
        for shard in 0..ShardCount::MAX {
            self.distrust(ShardId(shard), None);
        }
        self.session.store(now, Ordering::SeqCst);
        true
    }

    /// The distrusted shards, each with the generation that a new one must exceed.
    pub(super) fn distrusted(&self) -> Vec<(ShardId, i64)> {
        (0..)
            .map(ShardId)
            .zip(&self.shards)
            .filter_map(
                |(shard, state)| match State::unpack(state.load(Ordering::SeqCst)) {
                    State::Distrusted(generation) => Some((shard, generation)),
                    _ => None,
                },
            )
            .collect()
    }

    pub(super) fn any_distrusted(&self) -> bool {
        let mut states = self.shards.iter().map(|s| s.load(Ordering::SeqCst));
        states.any(|state| matches!(State::unpack(state), State::Distrusted(_)))
    }

    /// Believes the `raised` shards again. A shard that was `asked` for and not `raised` is no longer owned.
    pub(super) fn raised(&self, asked: &[(ShardId, i64)], raised: &[(ShardId, i64)]) {
        for &(shard, generation) in raised {
            self.change(shard, |state| match state {
                State::Distrusted(last) if generation > last => Some(State::Known(generation)),
                _ => None,
            });
        }
        for &(shard, last) in asked {
            if raised.iter().all(|(answered, _)| *answered != shard) {
                self.change(shard, |state| {
                    (state == State::Distrusted(last)).then_some(State::Unowned(last))
                });
            }
        }
    }

    /// Changes a shard's state as `to` says. Returns the state before, if it was changed.
    fn change(&self, shard: ShardId, to: impl Fn(State) -> Option<State>) -> Option<State> {
        let state = self.shards.get(usize::from(shard.0))?;
        state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |packed| {
                to(State::unpack(packed)).map(State::pack)
            })
            .ok()
            .map(State::unpack)
    }
}

impl State {
    const fn generation(self) -> i64 {
        match self {
            Self::Unowned(generation) | Self::Known(generation) | Self::Distrusted(generation) => {
                generation
            }
        }
    }

    const fn pack(self) -> i64 {
        let tag = match self {
            Self::Unowned(_) => 0,
            Self::Known(_) => 1,
            Self::Distrusted(_) => 2,
        };
        // Generations count claims and failures, so an i64 can spare two bits.
        self.generation() * 4 + tag
    }

    const fn unpack(packed: i64) -> Self {
        let generation = packed.div_euclid(4);
        match packed.rem_euclid(4) {
            1 => Self::Known(generation),
            2 => Self::Distrusted(generation),
            _ => Self::Unowned(generation),
        }
    }
}
