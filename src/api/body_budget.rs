//! What request bodies may hold together: each is bounded, and there may be as many as connections.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies that are being read or parsed: 256 of the largest, or a body of a usual order on each of
/// 20,000 connections twice over.
const BODIES_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// All bodies of this process.
pub static BODIES: BodyBudget = BodyBudget::new(BODIES_BYTES_MAX);

/// See the module.
#[derive(Debug)]
pub struct BodyBudget(Semaphore);

/// What one body holds, given back when it is dropped.
#[derive(Debug, Default)]
pub struct Held<'a>(Option<SemaphorePermit<'a>>);

impl BodyBudget {
    /// So many bytes.
    pub const fn new(bytes_max: u32) -> Self {
        Self(Semaphore::const_new(bytes_max as usize))
    }

    /// Takes `bytes` more for a body that holds `held`; whether they were left. Nothing waits for room: a
    /// body that is half there would hold its own meanwhile.
    pub fn take<'a>(&'a self, held: &mut Held<'a>, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(more) = self.0.try_acquire_many(bytes) else {
            return false;
        };
        match &mut held.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bodies_hold_is_bounded_and_comes_back() {
        let budget = BodyBudget::new(100);
        let (mut one, mut other) = (Held::default(), Held::default());
        assert!(budget.take(&mut one, 50) && budget.take(&mut one, 10));
        assert!(!budget.take(&mut other, 41));
        assert!(budget.take(&mut other, 40));
        drop(one);
        assert!(budget.take(&mut other, 60));
    }
}
