//! Reads a configuration layer over layer, then checks it. Leaves the form of a layer to [`super::layers`],
//! and the rules for values to [`super::check`].

use std::path::Path;

use toml::Table;

use super::environment::Misspelt;
use super::error::ConfigError;
use super::values::Config;
use super::{check, environment, layers};

/// Values from the command line; they override all other layers.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--strict`: an unknown variable is an error.
    pub is_strict: bool,
}

impl Config {
    /// Reads and checks the configuration.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut table = layers::defaults()?;
        if let Some(file) = file {
            layers::add_file(&mut table, file)?;
        }
        layers::add_environment(&mut table, |name| std::env::var(name).ok())?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let misspelt = environment::misspelt(names, table.keys());
        if flags.is_strict && !misspelt.is_empty() {
            return Err(ConfigError::Misspelt(misspelt));
        }
        if let Some(listen) = &flags.listen {
            table.insert("listen".into(), listen.clone().into());
        }
        Self::of(&table, misspelt)
    }

    /// The configuration that `table` says, checked.
    pub(super) fn of(table: &Table, misspelt: Vec<Misspelt>) -> Result<Self, ConfigError> {
        let config = Self::unchecked(table, misspelt)?;
        check::values(&config)?;
        Ok(config)
    }

    fn unchecked(table: &Table, misspelt: Vec<Misspelt>) -> Result<Self, ConfigError> {
        Ok(Self {
            http: layers::part(table)?,
            access: layers::part(table)?,
            limits: layers::part(table)?,
            replica: layers::part(table)?,
            stores: layers::part(table)?,
            orders: layers::part(table)?,
            live: layers::part(table)?,
            log: layers::part(table)?,
            misspelt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::default_file::SECRETS;
    use super::*;

    #[test]
    fn neither_debug_nor_show_has_a_secret() {
        let mut table = layers::defaults().expect("defaults parse");
        for key in SECRETS.into_iter().chain(["kafka_brokers"]) {
            table.insert(
                key.into(),
                "postgres://u:hunter2@h/db?password=hunter2".into(),
            );
        }
        let config = Config::of(&table, Vec::new()).expect("texts");
        let shown = config.show();
        assert!(!shown.contains("hunter2"), "{shown}");
        for printed in [format!("{config:?}"), format!("{config:#?}")] {
            assert!(!printed.contains("hunter2"), "{printed}");
            for key in SECRETS {
                assert!(printed.contains(key), "{key}: {printed}");
            }
        }
    }
}
