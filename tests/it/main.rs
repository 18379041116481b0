//! The one integration-test binary. `tests/README.md` says which file shows which behaviour.

mod actors;
mod cluster;
mod contract;
mod doubles;
mod faults;
mod live;
mod rest;
mod saga;
mod scenarios;
mod sim;
mod startup;
mod support;
mod upgrade;
