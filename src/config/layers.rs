//! The layers of a configuration, one table over the other, and the structs read from the result. An error
//! about a value names its key and never shows the value, which may be a secret.

use std::path::Path;

use toml::{Table, Value};

use super::default_file::{DEFAULT_FILE, SECRETS};
use super::error::ConfigError;

/// The largest file with a secret.
const SECRET_BYTES_MAX: usize = 64 * 1024;

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
        .map_err(|error| syntax(Path::new("default.toml"), DEFAULT_FILE, &error))
}

/// Lays `file` over `table`. It must be TOML with known keys only, each of the type of its default.
pub(super) fn add_file(table: &mut Table, file: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::File {
        path: file.into(),
        source,
    })?;
    add_text(table, file, &text)
}

/// As [`add_file`]; `text` is what `file` says.
pub(super) fn add_text(table: &mut Table, file: &Path, text: &str) -> Result<(), ConfigError> {
    let layer: Table = text.parse().map_err(|error| syntax(file, text, &error))?;
    for (key, value) in layer {
        let Some(default) = table.get(&key) else {
            return Err(ConfigError::UnknownKey {
                path: file.into(),
                key,
            });
        };
        if !value.same_type(default) {
            let wanted = match default {
                Value::Integer(_) => "a whole number",
                Value::Boolean(_) => "true or false",
                _ => "text in quotes",
            };
            return Err(ConfigError::Type { key, wanted });
        }
        table.insert(key, value);
    }
    Ok(())
}

/// The error for `text` that is no TOML, with the line. The parser's own message is left out: it repeats the
/// line, which may hold a secret.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    ConfigError::Syntax {
        path: path.into(),
        line: before.matches('\n').count() + 1,
    }
}

/// Lays the variables `TRACKOPS_<KEY>` over `table`, each with the type of its default. A secret may also
/// come from the file that `TRACKOPS_<KEY>_FILE` names.
pub(super) fn add_environment(
    table: &mut Table,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    for (key, value) in table.iter_mut() {
        let name = format!("TRACKOPS_{}", key.to_ascii_uppercase());
        let given = match variable(&name) {
            given if !SECRETS.contains(&key.as_str()) => given,
            given => secret(&name, given, &variable)?,
        };
        let Some(text) = given else {
            continue;
        };
        let wrong = |wanted| ConfigError::Variable { name, wanted };
        *value = match value {
            Value::Integer(_) => {
                let number = text.trim().parse();
                Value::Integer(number.map_err(|_| wrong("a number"))?)
            }
            Value::Boolean(_) => {
                let is_on = text.trim().parse();
                Value::Boolean(is_on.map_err(|_| wrong("true or false"))?)
            }
            _ => Value::String(text),
        };
    }
    Ok(())
}

/// The secret of variable `name`, from the variable or from a file. An empty variable counts as unset:
/// deployments that mount secrets as files often leave the variable empty.
fn secret(
    name: &str,
    given: Option<String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, ConfigError> {
    let by_file = format!("{name}_FILE");
    let Some(path) = variable(&by_file).filter(|path| !path.is_empty()) else {
        return Ok(given);
    };
    if given.is_some_and(|given| !given.is_empty()) {
        return Err(ConfigError::Twice { name: name.into() });
    }
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|source| ConfigError::SecretFile {
        name: by_file.clone(),
        path: path.into(),
        source,
    })?;
    if text.len() > SECRET_BYTES_MAX {
        return Err(ConfigError::SecretTooLong { name: by_file });
    }
    // Editors and `echo` end a file with a line break, which is no part of the secret.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(text.strip_suffix('\r').unwrap_or(text).into()))
}

/// The struct of one concern; it ignores the keys of others.
pub(super) fn part<T: serde::de::DeserializeOwned>(table: &Table) -> Result<T, ConfigError> {
    // The types are right, so only a number can be out of range, and no number is a secret.
    table.clone().try_into().map_err(|error: toml::de::Error| {
        let error = error.to_string();
        ConfigError::Range(error.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

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
        let docs = |word: &'static str| {
            move |name: &str| (name == "TRACKOPS_DOCS").then(|| word.to_owned())
        };
        add_environment(&mut table, docs("false")).expect("valid");
        assert_eq!(table["docs"], Value::Boolean(false));
        let bad = add_environment(&mut table, docs("no")).expect_err("neither");
        assert_eq!(bad.to_string(), "TRACKOPS_DOCS must be true or false");
        let bad = add_environment(&mut table, |name| {
            (name == "TRACKOPS_SHARDS").then(|| "many".into())
        });
        assert!(
            bad.expect_err("not a number")
                .to_string()
                .contains("TRACKOPS_SHARDS")
        );
    }

    /// A file of this content, with its path.
    fn file(content: &[u8]) -> (std::path::PathBuf, impl Drop) {
        struct Removed(std::path::PathBuf);
        impl Drop for Removed {
            fn drop(&mut self) {
                let _ = std::fs::remove_file(&self.0);
            }
        }
        let path = std::env::temp_dir().join(format!("trackops-{}", uuid::Uuid::now_v7()));
        let mut file = std::fs::File::create(&path).expect("a file");
        file.write_all(content).expect("written");
        (path.clone(), Removed(path))
    }

    #[test]
    fn every_secret_may_be_in_a_file() {
        for key in SECRETS {
            let name = format!("TRACKOPS_{}", key.to_ascii_uppercase());
            for content in ["hunter2", "hunter2\n", "hunter2\r\n"] {
                let (path, _removed) = file(content.as_bytes());
                let mut table = defaults().expect("defaults parse");
                let by_file = |asked: &str| match asked.strip_prefix(&name) {
                    Some("_FILE") => Some(path.display().to_string()),
                    // An empty variable, as a deployment may pass on.
                    Some("") => Some(String::new()),
                    _ => None,
                };
                add_environment(&mut table, by_file).expect("valid");
                assert_eq!(table[key], Value::String("hunter2".into()), "{key}");
                let both = |asked: &str| by_file(asked).map(|text| format!("{text}x"));
                let refused = add_environment(&mut table, both).expect_err("two of them");
                assert!(refused.to_string().starts_with(&name), "{refused}");
            }
            let nowhere =
                |asked: &str| (asked == format!("{name}_FILE")).then(|| "/nowhere".into());
            let mut table = defaults().expect("defaults parse");
            let refused = add_environment(&mut table, nowhere).expect_err("isn't there");
            assert!(refused.to_string().contains("/nowhere"), "{refused}");
        }
        // A value that is no secret is not read from a file.
        let mut table = defaults().expect("defaults parse");
        let other = |asked: &str| (asked == "TRACKOPS_LISTEN_FILE").then(|| "/nowhere".into());
        add_environment(&mut table, other).expect("not looked at");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_without_its_words() {
        for (text, said) in [
            ("lease_ms = 1500\nlink_secret = hunter2\n", "line 2"),
            ("link_secret = \"hunter2\n", "line 1"),
            ("hunter2", "line 1"),
            (
                "redis_url = \"a\"\nredis_url = \"redis://:hunter2@h\"",
                "line 2",
            ),
            ("link_secret = [\"hunter2\"]", "link_secret"),
            ("kafka_sasl_password = 90210.2", "kafka_sasl_password"),
            ("shards = \"hunter2\"", "shards"),
            ("docs = \"hunter2\"", "true or false"),
            ("[link_secret]\nhunter2 = 1", "link_secret"),
        ] {
            let (path, _removed) = file(text.as_bytes());
            let mut table = defaults().expect("defaults parse");
            let error = add_file(&mut table, &path).expect_err(text);
            let shown = format!("{:#}", anyhow::Error::new(error));
            assert!(shown.contains(said), "{text}: {shown}");
            for secret in ["hunter2", "90210"] {
                assert!(!shown.contains(secret), "{text}: {shown}");
            }
        }
    }

    #[test]
    fn a_number_out_of_range_names_its_key() {
        let mut table = defaults().expect("defaults parse");
        table.insert("shards".into(), Value::Integer(70_000));
        let error = part::<super::super::StoresConfig>(&table).err();
        let shown = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            shown.contains("shards") && shown.contains("70000"),
            "{shown}"
        );
    }
}
