//! The configuration: defaults, then the file, then `TRACKOPS_…` variables, then flags; one struct
//! per concern, checked before a port is opened.

mod check;
mod default_file;
mod environment;
mod error;
mod layers;
pub mod limits;
mod links;
mod load;
mod mask;
pub mod oidc;
#[cfg(test)]
mod parsing_tests;
pub mod rate;
mod show;
mod token_algorithm;
pub mod tracking_keys;
mod values;

pub use default_file::DEFAULT_FILE;
pub use environment::Misspelt;
pub use error::ConfigError;
pub use limits::{LimitsConfig, Rates};
pub use load::Flags;
pub use oidc::OidcIssuer;
pub use rate::Rate;
pub use token_algorithm::TokenAlgorithm;
pub use tracking_keys::TrackingKey;
pub use values::{
    AccessConfig, Config, HttpConfig, LiveConfig, LogConfig, OrdersConfig, ReplicaConfig,
    StoresConfig,
};
