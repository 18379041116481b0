//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "contract/mod.rs"]
mod contract;

#[path = "it/cli.rs"]
mod cli;
