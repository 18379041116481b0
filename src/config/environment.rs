//! The environment variables that begin with `TRACKOPS_`: the known names, and the nearest known name to an
//! unknown one.

use std::fmt;

use super::default_file::SECRETS;

const PREFIX: &str = "TRACKOPS_";

/// Known variables that are no keys: those of the client commands, of the tests, and of the tools that start
/// servers for tests.
const OTHERS: [&str; 9] = [
    "TRACKOPS_URL",
    "TRACKOPS_MANAGEMENT_URL",
    "TRACKOPS_CA_FILE",
    "TRACKOPS_API_KEY",
    "TRACKOPS_API_KEY_FILE",
    "TRACKOPS_FAULT",
    "TRACKOPS_SERVICES_DIR",
    "TRACKOPS_SCRATCH_DIR",
    "TRACKOPS_TEST",
];

/// The prefixes of the variables of tests, benchmarks and simulations.
const FAMILIES: [&str; 3] = ["TRACKOPS_TEST_", "TRACKOPS_BENCH_", "TRACKOPS_SIM_"];

/// A name counts as misspelt up to one edit in so many letters; with more edits it is another name.
const LETTERS_PER_EDIT: usize = 3;

/// A variable that no part of the program reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelt {
    /// Its name. Its value is never shown: it may be a secret.
    pub name: String,
    /// The nearest known name, if one is near enough.
    pub nearest: Option<String>,
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} means nothing", self.name)?;
        match &self.nearest {
            Some(nearest) => write!(f, ": is it {nearest}?"),
            None => Ok(()),
        }
    }
}

/// Those of `names` that are unknown, in order; `keys` are the configuration's.
pub(super) fn misspelt<'a>(
    names: impl Iterator<Item = String>,
    keys: impl Iterator<Item = &'a String>,
) -> Vec<Misspelt> {
    let by_file = SECRETS.iter().map(|key| format!("{key}_file"));
    let known = keys.cloned().chain(by_file);
    let known = known.map(|key| format!("{PREFIX}{}", key.to_ascii_uppercase()));
    let known: Vec<String> = known.chain(OTHERS.map(String::from)).collect();
    let is_strange = |name: &String| {
        name.starts_with(PREFIX)
            && !known.contains(name)
            && !FAMILIES.iter().any(|family| name.starts_with(family))
            && !is_service_link(name)
    };
    let mut strange: Vec<_> = names
        .filter(is_strange)
        .map(|name| Misspelt {
            nearest: nearest(&name, &known),
            name,
        })
        .collect();
    strange.sort_by(|one, other| one.name.cmp(&other.name));
    strange
}

/// Whether Kubernetes sets this variable in every pod for a service whose name begins with `trackops`.
fn is_service_link(name: &str) -> bool {
    let name = name.trim_end_matches(|char: char| char.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT")
        || name.contains("_TCP")
        || name.contains("_UDP")
}

fn nearest(name: &str, known: &[String]) -> Option<String> {
    let letters = &name[PREFIX.len()..];
    let distance = |known: &String| strsim::damerau_levenshtein(letters, &known[PREFIX.len()..]);
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    (distance(nearest) * LETTERS_PER_EDIT <= letters.len()).then(|| nearest.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<String> {
        let keys = super::super::layers::known_keys();
        let names = names.iter().map(|name| (*name).to_owned());
        let found = misspelt(names, keys.iter());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_means_nothing_is_named_with_what_was_meant() {
        let strange = [
            "TRACKOPS_REDIS_ULR",
            "TRACKOPS_LINK_SECERT_FILE",
            "TRACKOPS_SHARDS_FILE",
            "TRACKOPS_PURPLE",
            "TRACKOPS_",
        ];
        assert_eq!(
            found(&strange),
            [
                "TRACKOPS_ means nothing",
                "TRACKOPS_LINK_SECERT_FILE means nothing: is it TRACKOPS_LINK_SECRET_FILE?",
                "TRACKOPS_PURPLE means nothing",
                "TRACKOPS_REDIS_ULR means nothing: is it TRACKOPS_REDIS_URL?",
                "TRACKOPS_SHARDS_FILE means nothing",
            ]
        );
    }

    #[test]
    fn what_means_something_is_not_named() {
        let mut names: Vec<String> = super::super::layers::known_keys();
        names.extend(SECRETS.map(|key| format!("{key}_file")));
        let names: Vec<String> = names
            .iter()
            .map(|key| format!("TRACKOPS_{}", key.to_ascii_uppercase()))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(found(&names), [""; 0]);
        let others = [
            "TRACKOPS_URL",
            "TRACKOPS_FAULT",
            "TRACKOPS_TEST_REDIS_URL",
            "TRACKOPS_BENCH_BINARY",
            "TRACKOPS_SERVICES_DIR",
            "TRACKOPS_ORDER_SERVICE_HOST",
            "TRACKOPS_PORT_8080_TCP_ADDR",
            "TRACKOPS_SERVICE_PORT_HTTP",
            "TRACKOPS_PORT",
            "PATH",
        ];
        assert_eq!(found(&others), [""; 0]);
    }
}
