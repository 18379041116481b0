//! How much one caller may ask: a rate for each class of requests, kept for all replicas together. Leaves finding the
//! caller and its address in a request, and the answer, to `api`.

pub mod address;
pub mod class;
mod gcra;
mod limiter;
mod policy;
mod purse;
#[cfg(test)]
mod purse_tests;
mod table;

pub use self::address::Address;
pub use self::class::Class;
pub use self::gcra::{Gcra, Pace};
pub use self::limiter::{Decision, Pending, RateLimiter, Settings, Verdict};
pub use self::policy::Standing;
