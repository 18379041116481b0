//! When each order takes its next step, and where its courier is meanwhile. Does no I/O; time and randomness
//! are passed in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;
use trackops_domain::status::Status;
use uuid::Uuid;

use super::places::{Point, SHOP, along, somewhere};
use crate::codec::view::OrderView;

/// CONFIRMED to PREPARING.
const BEFORE_KITCHEN: Duration = Duration::from_secs(5);
/// PREPARING to IN_TRANSIT.
const IN_KITCHEN: Duration = Duration::from_secs(5);
/// IN_TRANSIT to DELIVERED.
const ON_THE_ROAD: Duration = Duration::from_secs(8);
/// A step without effect is published again after this time, which is longer than a consumer retries a
/// message.
const TELL_AGAIN: Duration = Duration::from_secs(35);
/// How often a step is published before the order is left to operations.
const TELL_MAX: u32 = 3;
/// An order that was given up is left alone for so long.
const LEAVE_ALONE: Duration = Duration::from_secs(600);
/// The most orders in hand. A later look takes in further ones when there is room.
const ORDERS_MAX: usize = 500;
/// The most addresses kept for orders not yet in hand, which wait for their stock.
const ADDRESSES_MAX: usize = 1_000;

/// An order as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Which.
    pub id: Uuid,
    /// Its status.
    pub status: Status,
    /// Its version then.
    pub version: u32,
    /// Its destination, if known.
    pub to: Option<Point>,
}

/// A step to publish.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Of which order.
    pub id: Uuid,
    /// To which status.
    pub status: Status,
    /// The message's id; a repeat has the same one.
    pub message: Uuid,
}

#[derive(Debug)]
struct Job {
    status: Status,
    version: u32,
    since: Instant,
    due: Instant,
    message: Uuid,
    told: u32,
    to: Option<Point>,
}

/// All orders in hand.
#[derive(Debug)]
pub struct Schedule {
    jobs: BTreeMap<Uuid, Job>,
    addresses: VecDeque<(Uuid, Point)>,
    rng: SmallRng,
}

impl Seen {
    /// Reads a view; `None` for an unknown status.
    pub fn of_view(view: &OrderView) -> Option<Self> {
        let address = &view.content.address;
        Some(Self {
            id: view.id,
            status: Status::parse(&view.status)?,
            version: view.version,
            to: address
                .lat
                .zip(address.lon)
                .map(|(lat, lon)| Point { lat, lon }),
        })
    }
}

impl Schedule {
    /// Nothing in hand.
    pub fn new(rng: SmallRng) -> Self {
        Self {
            jobs: BTreeMap::new(),
            addresses: VecDeque::new(),
            rng,
        }
    }

    /// Takes in an order as it was seen. An old version changes nothing.
    pub fn see(&mut self, seen: Seen, now: Instant) {
        let known = self.jobs.get(&seen.id);
        if known.is_some_and(|job| job.version >= seen.version) {
            return;
        }
        let Some(pause) = pause(seen.status) else {
            if seen.status.is_final() {
                self.jobs.remove(&seen.id);
                self.take_address(seen.id);
            } else if known.is_none()
                && let Some(to) = seen.to
            {
                self.keep_address(seen.id, to);
            }
            return;
        };
        if known.is_none() && self.jobs.len() >= ORDERS_MAX {
            return;
        }
        let to = known.and_then(|job| job.to).or(seen.to);
        let to = to.or_else(|| self.take_address(seen.id));
        // The pauses vary a little, as in a real kitchen.
        let pause = pause.mul_f64(self.rng.random_range(0.9..1.1));
        let job = Job {
            status: seen.status,
            version: seen.version,
            since: now,
            due: now + pause,
            message: Uuid::now_v7(),
            told: 0,
            to,
        };
        self.jobs.insert(seen.id, job);
    }

    /// When the next step is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.jobs.values().map(|job| job.due).min()
    }

    /// The steps that are due, at most `max`.
    pub fn take_due(&mut self, now: Instant, max: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut forgotten = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.due > now || steps.len() >= max {
                continue;
            }
            if job.told > TELL_MAX {
                forgotten.push(*id);
                continue;
            }
            job.told += 1;
            if job.told > TELL_MAX {
                tracing::warn!(order = %id, status = %job.status, "demo: leaving the order alone");
                job.due = now + LEAVE_ALONE;
                continue;
            }
            job.due = now + TELL_AGAIN;
            steps.extend(next(job.status).map(|status| Step {
                id: *id,
                status,
                message: job.message,
            }));
        }
        for id in forgotten {
            self.jobs.remove(&id);
        }
        steps
    }

    /// Gives back steps that could not be published: they are due again at `due`.
    pub fn put_back(&mut self, steps: &[Step], due: Instant) {
        for step in steps {
            if let Some(job) = self.jobs.get_mut(&step.id) {
                job.told = job.told.saturating_sub(1);
                job.due = due;
            }
        }
    }

    /// The couriers' positions, for at most `max` orders.
    pub fn riders(&self, now: Instant, max: usize) -> Vec<(Uuid, Point)> {
        let riding = |job: &&Job| job.status == Status::InTransit && job.told <= TELL_MAX;
        let riders = self.jobs.iter().filter(|(_, job)| riding(job)).take(max);
        riders
            .map(|(id, job)| {
                let done = now.saturating_duration_since(job.since).as_secs_f64();
                let to = job.to.unwrap_or_else(|| somewhere(*id));
                (*id, along(SHOP, to, done / ON_THE_ROAD.as_secs_f64()))
            })
            .collect()
    }

    fn keep_address(&mut self, id: Uuid, to: Point) {
        if self.addresses.iter().any(|(known, _)| *known == id) {
            return;
        }
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.pop_front();
        }
        self.addresses.push_back((id, to));
    }

    fn take_address(&mut self, id: Uuid) -> Option<Point> {
        let index = self.addresses.iter().position(|(known, _)| *known == id)?;
        self.addresses.remove(index).map(|(_, to)| to)
    }
}

/// How long an order stays in a status; `None` if the shop doesn't move it on.
const fn pause(status: Status) -> Option<Duration> {
    match status {
        Status::Confirmed => Some(BEFORE_KITCHEN),
        Status::Preparing => Some(IN_KITCHEN),
        Status::InTransit => Some(ON_THE_ROAD),
        Status::Pending | Status::Delivered | Status::Rejected | Status::Cancelled => None,
    }
}

const fn next(status: Status) -> Option<Status> {
    match status {
        Status::Confirmed => Some(Status::Preparing),
        Status::Preparing => Some(Status::InTransit),
        Status::InTransit => Some(Status::Delivered),
        Status::Pending | Status::Delivered | Status::Rejected | Status::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn seen(id: u128, status: Status, version: u32) -> Seen {
        Seen {
            id: Uuid::from_u128(id),
            status,
            version,
            to: None,
        }
    }

    #[test]
    fn old_news_and_the_end_of_an_order() {
        let mut schedule = Schedule::new(SmallRng::seed_from_u64(1));
        let now = Instant::now();
        schedule.see(seen(1, Status::Preparing, 3), now);
        schedule.see(seen(1, Status::Confirmed, 2), now);
        let later = now + Duration::from_secs(6);
        let steps = schedule.take_due(later, 10);
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].status, Status::InTransit);
        assert!(schedule.take_due(later, 10).is_empty(), "told once");
        schedule.see(seen(1, Status::Cancelled, 4), later);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_step_that_nothing_comes_of_is_told_three_times() {
        let mut schedule = Schedule::new(SmallRng::seed_from_u64(1));
        let start = Instant::now();
        schedule.see(seen(1, Status::Confirmed, 2), start);
        let mut messages = Vec::new();
        for second in 0..300 {
            let now = start + Duration::from_secs(second);
            // Every look sees it again.
            schedule.see(seen(1, Status::Confirmed, 2), now);
            messages.extend(schedule.take_due(now, 10).iter().map(|step| step.message));
        }
        assert_eq!(messages.len(), 3);
        messages.dedup();
        assert_eq!(messages.len(), 1, "a repeat has the same id");
    }

    #[test]
    fn what_is_in_hand_is_bounded() {
        let mut schedule = Schedule::new(SmallRng::seed_from_u64(1));
        let now = Instant::now();
        for id in 0..10_000 {
            let placed = Seen {
                to: Some(SHOP),
                ..seen(id, Status::Pending, 1)
            };
            schedule.see(placed, now);
            schedule.see(seen(id + 10_000, Status::Confirmed, 2), now);
        }
        assert_eq!(schedule.jobs.len(), ORDERS_MAX);
        assert_eq!(schedule.addresses.len(), ADDRESSES_MAX);
        schedule.see(seen(10_000, Status::Delivered, 5), now);
        schedule.see(seen(1, Status::Confirmed, 2), now);
        assert!(
            schedule.jobs.contains_key(&Uuid::from_u128(1)),
            "room again"
        );
    }
}
