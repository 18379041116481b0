//! Seeded simulation: the real router, order actors, journal writer, coordinator, lease keeper and
//! live module of several nodes, over ports, clock and links in memory. One current-thread runtime a
//! run, its clock paused; every chance comes from the seed, so a run repeats itself:
//! `TRACKOPS_SIM_SEED=n cargo test --test it sim::replay -- --ignored --nocapture` shows run `n`.

mod client;
mod dice;
mod gate;
mod history;
mod hub;
mod membership;
mod ports;
mod replica;
mod trace;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use trackops::codec::content::{AddressV1, ContentV1, ItemV1};
use trackops::faults;
use trackops::model::orders_error::OrdersError;
use trackops::ports::orders::OrdersExt as _;
use trackops_cluster::ShardCount;
use trackops_cluster::link::memory::{MemoryNetwork, MemorySettings};
use trackops_domain::access::Caller;
use trackops_domain::placed::Placed;

use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::MemoryMembership;
use client::Client;
use dice::Dice;
use ports::Entries;
use replica::Shared;
use trace::Trace;
use world::World;

/// A defect on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    None,
    /// The journal takes rows of any epoch.
    NoFence,
    /// Whoever has owned a shard answers for it for ever.
    NoLease,
    /// A claim leaves the epoch as it was.
    NoEpoch,
    /// Who listens again begins anew.
    NoSince,
    /// Who loses a shard forgets those who listen there.
    NoCover,
}

/// After the last fault everything answers again within this.
const RECOVERY: Duration = Duration::from_secs(20);
/// So many seeds are tried, on a free core in about a minute; unless `TRACKOPS_SIM_RUNS` says how many, or
/// `TRACKOPS_SIM_MINUTES` how long.
const RUNS: u64 = 1_000;
/// Runs within which a defect must show; each does within far fewer.
const SEARCHED_MAX: u64 = 600;

/// What happened, and what went wrong.
fn run(seed: u64, mutation: Mutation) -> (String, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let trace = runtime.block_on(async {
        let trace = Trace::new();
        play(seed, mutation, &trace).await;
        trace
    });
    drop(runtime);
    (trace.text(), trace.found())
}

async fn play(seed: u64, mutation: Mutation, trace: &Trace) {
    let mut dice = Dice::new(seed);
    let nodes = 2 + dice.below(3);
    let count = ShardCount::new(4).expect("in range");
    let journal = MemoryJournal::default();
    journal.0.lock().ignore_epochs = mutation == Mutation::NoFence;
    let membership = MemoryMembership::new(&journal, count);
    if mutation == Mutation::NoEpoch {
        membership.break_epochs();
    }
    let shared = Shared {
        network: MemoryNetwork::new(dice.draw(), MemorySettings::default()),
        journal,
        membership,
        entries: Entries::default(),
        count,
        mutation,
    };
    let world = World::new(shared, trace.clone(), nodes);
    for index in 0..nodes {
        tokio::spawn(Arc::clone(&world).live(index, dice.fork()));
    }
    let content = Arc::new(content());
    let mut client = |number| Client {
        world: Arc::clone(&world),
        number,
        dice: dice.fork(),
        content: Arc::clone(&content),
    };
    let clients: Vec<_> = (0..3).map(|n| tokio::spawn(client(n).run())).collect();
    for number in 0..3 {
        tokio::spawn(client(number).listen());
    }
    let steps = 4 + dice.below(10);
    world.befall(dice.fork(), steps).await;
    for client in clients {
        client.await.expect("no panic");
    }
    recover(&world).await;
    world.history.check();
}

/// Once all is well every order is to be had at every node, and every listener has everything.
async fn recover(world: &Arc<World>) {
    assert!(world.is_over.load(Ordering::SeqCst));
    let deadline = Instant::now() + RECOVERY;
    loop {
        let mut lacking = world.history.behind();
        let lives = world.lives();
        if lives.len() < world.slots.len() {
            lacking.push(format!("{} nodes are up", lives.len()));
        }
        let anyone = Caller::anonymous();
        for (order, version) in world.history.stored() {
            for (index, life) in lives.iter().enumerate() {
                let read = tokio::select! {
                    biased;
                    () = life.gate.death() => Err(OrdersError::NotOwner),
                    read = life.router.read(order, &anyone) => read,
                };
                match read {
                    Ok(read) => {
                        let what = format!("a last read at {index}");
                        world.history.check_age(order, &read);
                        world.history.told(&what, order, version, read.version);
                    }
                    Err(error) => lacking.push(format!("{order} at {index}: {error:?}")),
                }
            }
        }
        if lacking.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            world.trace.wrong(format!("not well again: {lacking:#?}"));
            return;
        }
        passes(Duration::from_millis(200)).await;
    }
}

fn content() -> Placed {
    let address = AddressV1 {
        street: "Torstr. 1".into(),
        city: "Berlin".into(),
        postal_code: "10119".into(),
        country: "DE".into(),
        lat: None,
        lon: None,
        phone: None,
    };
    let content = ContentV1 {
        customer_id: uuid::Uuid::from_u128(7),
        currency: "EUR".into(),
        items: vec![ItemV1 {
            sku: "PIZZA".into(),
            quantity: 1,
            unit_price: 950,
        }],
        address,
        delivery_instructions: None,
        shop_id: None,
    };
    content.check().expect("valid")
}

/// Runs one seed after the other; how many, and the first that went wrong.
fn search(
    seeds: impl Iterator<Item = u64>,
    mutation: Mutation,
) -> (u64, Option<(u64, Vec<String>)>) {
    let mut runs = 0;
    for seed in seeds {
        if std::env::var_os("TRACKOPS_SIM_VERBOSE").is_some() {
            println!("seed {seed}");
        }
        let (_, wrong) = run(seed, mutation);
        runs += 1;
        if !wrong.is_empty() {
            return (runs, Some((seed, wrong)));
        }
    }
    (runs, None)
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let given = |name| {
        let value = std::env::var(name).ok();
        value.map(|value| value.parse::<u64>().expect("a number"))
    };
    let (runs, wrong) = if let Some(minutes) = given("TRACKOPS_SIM_MINUTES") {
        // Others than those of every run, and others each time.
        let first = u64::from(rand::random::<u32>());
        println!("for {minutes} minutes from TRACKOPS_SIM_SEED={first} on");
        let end = std::time::Instant::now() + Duration::from_secs(60 * minutes);
        let seeds = (first..).take_while(|_| std::time::Instant::now() < end);
        search(seeds, Mutation::None)
    } else {
        search(
            0..given("TRACKOPS_SIM_RUNS").unwrap_or(RUNS),
            Mutation::None,
        )
    };
    println!("{runs} runs");
    if let Some((seed, wrong)) = wrong {
        panic!("TRACKOPS_SIM_SEED={seed}: {wrong:#?}");
    }
    assert!(runs > 0, "none says nothing");
}

/// For a process with a defect from `TRACKOPS_FAULT`.
#[test]
#[ignore = "with_deaf_mirrors_it_goes_red starts it with TRACKOPS_SIM_RED"]
fn goes_red_here() {
    let by = std::env::var("TRACKOPS_SIM_RED").expect("TRACKOPS_SIM_RED names an invariant");
    goes_red(Mutation::None, &by);
}

#[test]
#[ignore = "replays the seed in TRACKOPS_SIM_SEED"]
fn replay() {
    let seed = std::env::var("TRACKOPS_SIM_SEED").expect("TRACKOPS_SIM_SEED says which run");
    let (text, wrong) = run(seed.parse().expect("a number"), Mutation::None);
    println!("{text}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_run_repeats_itself() {
    for seed in 0..100 {
        let (one, other) = (run(seed, Mutation::None).0, run(seed, Mutation::None).0);
        let differs = one
            .lines()
            .zip(other.lines())
            .find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

fn goes_red(mutation: Mutation, by: &str) {
    let mut first = 0;
    while let (_, Some((seed, wrong))) = search(first..SEARCHED_MAX, mutation) {
        if wrong.iter().any(|wrong| wrong.contains(by)) {
            println!("{mutation:?}: seed {seed}: {wrong:#?}");
            return;
        }
        first = seed + 1;
    }
    panic!("nothing of {by} is found without it: {mutation:?}");
}

#[test]
fn without_the_fence_it_goes_red() {
    goes_red(Mutation::NoFence, "I2");
}

#[test]
fn without_the_lease_it_goes_red() {
    goes_red(Mutation::NoLease, "I8");
}

#[test]
fn with_claims_that_keep_the_epoch_it_goes_red() {
    goes_red(Mutation::NoEpoch, "I8");
}

#[test]
fn without_since_it_goes_red() {
    goes_red(Mutation::NoSince, "I7");
}

#[test]
fn without_cover_it_goes_red() {
    goes_red(Mutation::NoCover, "I7");
}

/// By a fault point, which counts for all of a process: so in one of its own.
#[test]
fn with_deaf_mirrors_it_goes_red() {
    let this = std::env::current_exe().expect("a test");
    let mut search = std::process::Command::new(this);
    search.args(["--exact", "--ignored", "--nocapture", "sim::goes_red_here"]);
    search.env("TRACKOPS_FAULT", faults::points::DEAF_MIRROR);
    search.env("TRACKOPS_SIM_RED", "I7");
    let done = search.output().expect("it starts");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

/// Simulated time goes on by so much: the clock is paused, and moves when nobody has anything to do.
async fn passes(time: Duration) {
    // Nothing waits here for something else to happen.
    tokio::time::sleep(time).await;
}
