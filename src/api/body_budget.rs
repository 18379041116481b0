//! The memory that all request bodies may hold together. Each body is bounded by itself, but there may be as
//! many bodies as connections.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of bodies that are being read or parsed. That is 256 of the largest bodies, or twice the body of a
/// usual order on each of 20,000 connections.
const BODIES_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// All bodies of this process.
pub static BODIES: BodyBudget = BodyBudget::new(BODIES_BYTES_MAX);

/// A bound on the bytes that bodies hold together.
#[derive(Debug)]
pub struct BodyBudget(Semaphore);

/// The bytes that one body holds; given back on drop.
#[derive(Debug, Default)]
pub struct Held<'a>(Option<SemaphorePermit<'a>>);

impl BodyBudget {
    /// A budget of `bytes_max` bytes.
    pub const fn new(bytes_max: u32) -> Self {
        Self(Semaphore::const_new(bytes_max as usize))
    }

    /// Takes `bytes` more for a body that holds `held`; `false` if the budget hasn't that many left. Nothing
    /// waits for the budget: a half-read body would hold its bytes while it waits.
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
