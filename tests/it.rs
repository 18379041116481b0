//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "contract/mod.rs"]
mod contract;
#[path = "it/end_to_end.rs"]
mod end_to_end;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/scenarios.rs"]
mod scenarios;
#[path = "it/support/mod.rs"]
mod support;
