//! The layers of a configuration, one table over the other, and the structs read from the result.

use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, DEFAULT_FILE};

/// The keys of the default file: there are no others.
#[cfg(test)]
pub(super) fn known_keys() -> Vec<String> {
    defaults()
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

/// The default file.
pub(super) fn defaults() -> Result<Table, ConfigError> {
    DEFAULT_FILE
        .parse()
        .map_err(|source| ConfigError::Value(Box::new(source)))
}

/// Lays `file` over `table`. It must be TOML with known keys only.
pub(super) fn add_file(table: &mut Table, file: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::File {
        path: file.into(),
        source,
    })?;
    let layer: Table = text.parse().map_err(|source| ConfigError::Syntax {
        path: file.into(),
        source: Box::new(source),
    })?;
    for (key, value) in layer {
        if !table.contains_key(&key) {
            return Err(ConfigError::UnknownKey {
                path: file.into(),
                key,
            });
        }
        table.insert(key, value);
    }
    Ok(())
}

/// Lays the variables `TRACKOPS_<KEY>` over `table`, each with the type of its default.
pub(super) fn add_environment(
    table: &mut Table,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    for (key, value) in table.iter_mut() {
        let name = format!("TRACKOPS_{}", key.to_ascii_uppercase());
        let Some(text) = variable(&name) else {
            continue;
        };
        *value = match value {
            Value::Integer(_) => {
                let number = text
                    .trim()
                    .parse()
                    .map_err(|_| ConfigError::Variable { name })?;
                Value::Integer(number)
            }
            _ => Value::String(text),
        };
    }
    Ok(())
}

/// The struct of one concern; keys of others are none of its business.
pub(super) fn part<T: serde::de::DeserializeOwned>(table: &Table) -> Result<T, ConfigError> {
    table
        .clone()
        .try_into()
        .map_err(|source| ConfigError::Value(Box::new(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_takes_the_type_of_its_default() {
        let mut table = defaults().expect("defaults parse");
        let set = |name: &str| match name {
            "TRACKOPS_NODE_ID" => Some("7".to_owned()),
            "TRACKOPS_SHARDS" => Some("16".to_owned()),
            _ => None,
        };
        add_environment(&mut table, set).expect("valid");
        assert_eq!(table["node_id"], Value::String("7".into()));
        assert_eq!(table["shards"], Value::Integer(16));
        let bad = add_environment(&mut table, |name| {
            (name == "TRACKOPS_SHARDS").then(|| "many".into())
        });
        assert!(
            bad.expect_err("not a number")
                .to_string()
                .contains("TRACKOPS_SHARDS")
        );
    }
}
