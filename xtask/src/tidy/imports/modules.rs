//! The modules of the workspace's crates, each with its file. Test modules are left out. Leaves the meaning
//! of paths to [`super::resolve`].

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Names, names};
use super::tokens::tokens;
use crate::tidy::source::Source;

/// The position of a module in its crate: `["a", "b"]` for `crate::a::b`.
pub type Place = Vec<String>;

/// A module that has a file.
#[derive(Debug)]
pub struct Module {
    pub file: String,
    pub names: Names,
}

/// The modules of one crate.
pub type Crate = BTreeMap<Place, Module>;

/// Every crate among `sources`.
pub fn crates(sources: &[Source]) -> Vec<Crate> {
    let mut folders: BTreeMap<&str, Vec<(&str, &Source)>> = BTreeMap::new();
    for source in sources {
        let is_test = source.path.ends_with("_tests.rs");
        if let Some((folder, below)) = split(&source.path)
            && !is_test
        {
            folders.entry(folder).or_default().push((below, source));
        }
    }
    folders.into_values().map(|files| modules(&files)).collect()
}

/// The folder of a crate's sources, and the path below it; `None` for a file outside such a folder, which is
/// a test.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let below = match path.strip_prefix("src/") {
        Some(below) => below,
        None => path.split_once('/')?.1.strip_prefix("src/")?,
    };
    Some((&path[..path.len() - below.len()], below))
}

fn modules(files: &[(&str, &Source)]) -> Crate {
    let has_library = files.iter().any(|(below, _)| *below == "lib.rs");
    let mut modules = Crate::new();
    let mut tests = BTreeSet::new();
    for (below, source) in files {
        // If there is a library, the binary is a crate of its own, with one file.
        if has_library && *below == "main.rs" {
            continue;
        }
        let place = place(below);
        let found = tokens(source);
        for test in &found.test_modules {
            let mut below = place.clone();
            below.push((*test).to_owned());
            tests.insert(below);
        }
        let file = source.path.clone();
        let names = names(&found.tokens);
        modules.insert(place, Module { file, names });
    }
    modules.retain(|place, _| !(1..=place.len()).any(|end| tests.contains(&place[..end])));
    modules
}

/// `a/mod.rs` and `a.rs` are `crate::a`, `lib.rs` and `main.rs` the crate itself.
pub fn place(below: &str) -> Place {
    let name = below.strip_suffix(".rs").unwrap_or(below);
    let name = name.strip_suffix("/mod").unwrap_or(name);
    if matches!(name, "lib" | "main") {
        return Place::new();
    }
    name.split('/').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources = files.iter().map(|(path, text)| Source::new(path, text));
        let crates = crates(&sources.collect::<Vec<_>>());
        let joined = |found: &Crate| found.keys().map(|place| place.join("::")).collect();
        crates.iter().map(joined).collect()
    }

    #[test]
    fn a_file_is_a_module_of_its_crate() {
        let found = places(&[
            ("src/lib.rs", ""),
            ("src/main.rs", ""),
            ("src/a/mod.rs", ""),
            ("src/a/b.rs", ""),
            ("tool/src/main.rs", ""),
            ("tool/src/c.rs", ""),
            ("tests/it/main.rs", ""),
            ("tool/tests/d.rs", ""),
        ]);
        assert_eq!(found, [vec!["", "a", "a::b"], vec!["", "c"]]);
    }

    #[test]
    fn tests_are_no_modules() {
        let found = places(&[
            ("src/a.rs", "#[cfg(test)]\nmod tests;\nmod b;"),
            ("src/a/b.rs", ""),
            ("src/a/tests.rs", "mod doubles;"),
            ("src/a/tests/doubles.rs", ""),
            ("src/b_tests.rs", ""),
        ]);
        assert_eq!(found, [vec!["a", "a::b"]]);
    }
}
