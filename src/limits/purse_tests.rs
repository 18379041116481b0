//! The bound of what several replicas admit together, in virtual time.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::class::Class;
use super::gcra::{Gcra, Pace};
use super::policy::Policy;
use super::purse::{Purse, Spent};
use crate::config::Rate;

fn policy(count: u32, burst: u32) -> Arc<Policy> {
    let rate = Rate {
        count,
        period_s: 60,
        burst,
    };
    Policy::new(Class::Read, rate)
}

/// Replicas over one store, with a draw of each that may be on its way.
struct World {
    policy: Arc<Policy>,
    store: Gcra,
    replicas: Vec<(Purse, Option<(u32, u64)>)>,
    now: u64,
    admitted: Vec<u64>,
}

impl World {
    fn new(policy: Arc<Policy>, replicas: usize) -> Self {
        Self {
            policy,
            store: Gcra::default(),
            replicas: (0..replicas).map(|_| (Purse::default(), None)).collect(),
            now: 1,
            admitted: Vec::new(),
        }
    }

    fn share(&self) -> Pace {
        let count = u32::try_from(self.replicas.len()).expect("a few");
        self.policy.pace.share(count)
    }

    /// A request at `replica`. The store grants at once; the answer comes by [`Self::arrive`].
    fn request(&mut self, replica: usize) -> Spent {
        let (policy, now) = (Arc::clone(&self.policy), self.now);
        let (purse, on_its_way) = &mut self.replicas[replica];
        let spent = purse.spend(&policy, now);
        if matches!(spent, Spent::Paid { .. }) {
            self.admitted.push(now);
        }
        let is_wanted = matches!(spent, Spent::Unknown | Spent::Paid { is_short: true });
        if is_wanted && let Some(wanted) = purse.begin_draw(&policy, now) {
            let granted = self.store.take(policy.pace, now, wanted);
            *on_its_way = Some((granted, self.store.until_full_us(policy.pace, now)));
        }
        spent
    }

    fn arrive(&mut self, replica: usize) {
        let share = self.share();
        let (purse, on_its_way) = &mut self.replicas[replica];
        if let Some((granted, full_in)) = on_its_way.take() {
            purse.drawn(&self.policy, share, self.now, granted, full_in);
        }
        let held = purse.count(self.now);
        assert!(
            held <= self.policy.chunk,
            "{held} tokens are more than a chunk"
        );
    }

    /// A request whose draw arrives at once; whether it was admitted.
    fn settle(&mut self, replica: usize) -> bool {
        loop {
            let spent = self.request(replica);
            self.arrive(replica);
            match spent {
                Spent::Paid { .. } => return true,
                Spent::Refused { .. } => return false,
                Spent::Unknown => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Request(usize),
    Arrive(usize),
    /// The replica dies with what it holds, and another takes its name.
    Die(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0_u64..3_000_000).prop_map(Event::Pass),
        1 => (0_u64..60_000_000).prop_map(Event::Pass),
        12 => (0_usize..3).prop_map(Event::Request),
        6 => (0_usize..3).prop_map(Event::Arrive),
        1 => (0_usize..3).prop_map(Event::Die),
    ]
}

proptest! {
    #[test]
    fn replicas_admit_together_no_more_than_the_bound(
        count in 1_u32..300, burst in 1_u32..100, events in vec(event(), 1..300),
    ) {
        let mut burst = burst;
        // The configuration refuses what takes longer than an hour to fill.
        if count < 5 { burst = burst.min(40); }
        let mut world = World::new(policy(count, burst), 3);
        for event in events {
            match event {
                Event::Pass(us) => world.now += us,
                Event::Request(replica) => drop(world.request(replica)),
                Event::Arrive(replica) => world.arrive(replica),
                Event::Die(replica) => world.replicas[replica] = (Purse::default(), None),
            }
        }
        let policy = &world.policy;
        let more = u64::from(burst + 3 * policy.chunk);
        for (first, from) in world.admitted.iter().enumerate() {
            for (count, at) in (1_u64..).zip(&world.admitted[first..]) {
                prop_assert!(count <= (at - from) / policy.pace.interval_us + more);
            }
        }
    }
}

#[test]
fn one_replica_that_takes_all_gets_the_whole_limit() {
    let mut world = World::new(policy(60, 20), 3);
    let mut admitted = 0;
    for _ in 0..600 {
        world.now += 100_000;
        admitted += u32::from(world.settle(0));
    }
    // A minute at ten a second: sixty, and the burst.
    assert!((79..=82).contains(&admitted), "{admitted}");
}

#[test]
fn after_the_wait_a_request_is_admitted() {
    let mut world = World::new(policy(60, 20), 1);
    while world.settle(0) {}
    let Spent::Refused { wait_us } = world.request(0) else {
        panic!("the bucket is empty");
    };
    assert!((1..=1_000_000).contains(&wait_us), "{wait_us}");
    world.now += wait_us - 1;
    assert!(!world.settle(0), "too early");
    world.now += 1;
    assert!(world.settle(0));
}

#[test]
fn tokens_that_nobody_spends_are_given_up() {
    let policy = policy(60, 20);
    let mut purse = Purse::default();
    purse.drawn(&policy, policy.pace, 0, 2, 0);
    assert_eq!(purse.count(policy.keep_us - 1), 2);
    assert_eq!(purse.count(policy.keep_us), 0);
}

#[test]
fn a_share_counts_what_was_drawn_before() {
    let policy = policy(60, 20);
    let share = policy.pace.share(2);
    let mut purse = Purse::default();
    purse.drawn(&policy, share, 0, 8, 0);
    let mut by_share = 0;
    while purse.spend_share(share, 1).is_ok() {
        by_share += 1;
    }
    assert_eq!(by_share, 2, "a burst of ten, of which eight were drawn");
}

#[test]
fn one_draw_is_under_way_at_most() {
    let policy = policy(60, 20);
    let mut purse = Purse::default();
    assert_eq!(purse.begin_draw(&policy, 0), Some(4));
    assert_eq!(purse.begin_draw(&policy, 0), None);
    purse.draw_failed();
    assert_eq!(purse.begin_draw(&policy, 0), Some(4));
    purse.drawn(&policy, policy.pace, 0, 4, 0);
    assert_eq!(purse.begin_draw(&policy, 0), None, "it is full");
}
