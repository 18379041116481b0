//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "it/api/mod.rs"]
mod api;
#[path = "contract/mod.rs"]
mod contract;
