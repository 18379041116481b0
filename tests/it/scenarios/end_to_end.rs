//! Every scenario for clients, on the three roles with real servers and on `trackops dev`.

use std::sync::Arc;

use crate::scenarios;
use crate::scenarios::bad_input;
use crate::support::acknowledged::Acknowledged;
use crate::support::check::assert_invariants;
use crate::support::client::Client;
use crate::support::deployment::{Deployment, Options};
use crate::support::dev::DevProcess;
use crate::support::recorder::Recorder;

/// All scenarios side by side, each with the orders that it makes.
async fn every_scenario(client: &Client) {
    tokio::join!(
        scenarios::an_order_lives_and_is_watched(client),
        scenarios::what_is_not_stocked_is_rejected(client),
        scenarios::a_cancelled_order_gives_its_stock_back(client),
        scenarios::a_key_makes_repeats_safe(client),
        scenarios::versions_guard_steps(client),
        scenarios::lists_give_every_order_once(client),
        bad_input::fields_that_break_a_rule_are_named(client),
        bad_input::bodies_that_are_no_orders_are_refused(client),
        bad_input::requests_that_make_no_sense_are_refused(client),
        bad_input::the_socket_survives_bad_messages(client),
    );
}

#[tokio::test]
async fn the_roles_serve_every_scenario_on_real_servers() {
    let deployment = Deployment::start(Options::default()).await;
    Box::pin(every_scenario(&deployment.client)).await;
}

#[tokio::test]
async fn dev_serves_every_scenario_with_nothing_else_installed() {
    let dev = DevProcess::start(None).await;
    Box::pin(every_scenario(&dev.client)).await;
}

/// The load and the checks of the fault tests, without a fault.
#[tokio::test]
async fn the_invariants_hold_when_nothing_fails() {
    let deployment = Deployment::start(Options::default()).await;
    let told = Arc::new(Acknowledged::default());
    let recorder = Arc::new(Recorder::start(
        &deployment.client.to.order,
        Arc::clone(&told),
    ));
    let load = crate::support::load::Load::start(&deployment.client, &told, &recorder);
    load.more(150).await;
    load.finish().await;
    assert_invariants(&deployment, &told, Some(&recorder)).await;
}
