//! `kill -9` of every role at random moments under load, and at each step of a commit: nothing that
//! anyone was told is lost.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::acknowledged::Acknowledged;
use crate::support::check::assert_invariants;
use crate::support::deployment::{Deployment, Options};
use crate::support::load::Load;
use crate::support::recorder::Recorder;
use crate::support::wait::LONG;

/// Two for each role: each is killed busy, and busy with what the others' deaths left.
const ROUNDS: usize = 6;

struct Loaded {
    deployment: Deployment,
    told: Arc<Acknowledged>,
    recorder: Arc<Recorder>,
    load: Load,
}

impl Loaded {
    async fn start() -> Self {
        let deployment = Deployment::start(Options::default()).await;
        let told = Arc::new(Acknowledged::default());
        let recorder = Arc::new(Recorder::start(
            &deployment.client.to.order,
            Arc::clone(&told),
        ));
        let load = Load::start(&deployment.client, &told, &recorder);
        load.more(20).await;
        Self {
            deployment,
            told,
            recorder,
            load,
        }
    }

    async fn finish(self) {
        self.load.finish().await;
        assert_invariants(&self.deployment, &self.told, Some(&self.recorder)).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_by_killing_any_role_at_any_moment() {
    let mut loaded = Loaded::start().await;
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        // The random moment is the test.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        let [order, inventory, relay] = loaded.deployment.roles();
        let victim = [order, inventory, relay].into_iter().nth(round % 3);
        let victim = victim.expect("three roles");
        victim.kill();
        victim.restart(None).await;
        loaded.load.more(15).await;
    }
    loaded.finish().await;
}

/// Each crash is reached under load; the counts let a few pass, so that others are under way.
#[tokio::test]
async fn nothing_is_lost_by_a_crash_of_the_order_role_at_any_step() {
    let mut loaded = Loaded::start().await;
    for fault in [
        "crash-before-append@9",
        "crash-after-append@9",
        "crash-after-cache@9",
        "crash-after-reply@9",
        "crash-before-offset@3",
    ] {
        crash_at(&mut loaded.deployment, 0, fault).await;
        loaded.load.more(10).await;
    }
    loaded.finish().await;
}

#[tokio::test]
async fn nothing_is_lost_by_a_crash_of_inventory_or_relay_at_any_step() {
    let mut loaded = Loaded::start().await;
    for (role, fault) in [
        (1, "crash-after-stock-lock@3"),
        (1, "crash-before-stock-commit@3"),
        (1, "crash-after-stock@3"),
        (1, "crash-before-offset@3"),
        (2, "crash-after-fetch@3"),
        (2, "crash-after-fetch@20"),
        (2, "crash-after-publish@3"),
        (2, "crash-after-publish@20"),
        (2, "crash-after-removal@3"),
        (2, "crash-after-removal@20"),
    ] {
        crash_at(&mut loaded.deployment, role, fault).await;
        loaded.load.more(10).await;
    }
    loaded.finish().await;
}

/// Restarts a role with a fault, waits until it has crashed, and restarts it without.
async fn crash_at(deployment: &mut Deployment, role: usize, fault: &str) {
    let role = deployment
        .roles()
        .into_iter()
        .nth(role)
        .expect("three roles");
    role.kill();
    role.respawn(Some(fault));
    let status = role.exit(LONG).await;
    let status = status.unwrap_or_else(|| panic!("{fault} is never reached"));
    assert!(
        !status.success(),
        "{fault} ended {} with {status}",
        role.launch.name
    );
    let point = fault.split('@').next().expect("a point");
    assert!(
        role.log().contains(point),
        "{} ended by something else",
        role.launch.name
    );
    role.restart(None).await;
}
