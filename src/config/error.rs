//! Why a configuration can't be used. The message is one line that names the key and shows no secret.

use std::path::PathBuf;

use thiserror::Error;

use super::environment::Misspelt;

/// Why a configuration can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file isn't TOML.
    #[error("the configuration file {path} is not TOML at line {line}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
    },
    /// The file has a key that doesn't exist.
    #[error("the configuration file {path} has an unknown key: {key}")]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
    },
    /// A value has the wrong type.
    #[error("{key}: must be {wanted}")]
    Type {
        /// Which key.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A number is larger or smaller than it can be.
    #[error("a number of the configuration is out of range: {0}")]
    Range(String),
    /// A secret is given both as a variable and as a file.
    #[error("{name} and {name}_FILE are both set")]
    Twice {
        /// The variable.
        name: String,
    },
    /// The file with a secret can't be read.
    #[error("can't read {path}, which {name} names")]
    SecretFile {
        /// The variable.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too long to hold a secret.
    #[error("the file that {name} names is too long for a secret")]
    SecretTooLong {
        /// The variable.
        name: String,
    },
    /// Unknown variables, under `--strict`.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Misspelt(Vec<Misspelt>),
    /// An environment variable isn't the number or truth that it should be.
    #[error("{name} must be {wanted}")]
    Variable {
        /// Which.
        name: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A value breaks a rule.
    #[error("{key}: {rule}")]
    Rule {
        /// Which key.
        key: &'static str,
        /// What it must be.
        rule: String,
    },
}
