//! Finds the file that a path leads to: the one that defines the name, through any re-exports. Leaves the
//! search for circles to [`super::circles`].

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Crate, Module, Place};
use super::paths::Path;

/// A name that is re-exported more often is not followed: then a `use` leads back to itself.
const HANDS_MAX: usize = 16;

/// The names that one file imports from another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The line of the first import.
    pub line: usize,
    pub names: BTreeSet<String>,
}

/// All imports of a crate, by the importing and the imported file.
pub type Imports = BTreeMap<(String, String), Import>;

/// A name with the module that defines it; without a name for a module as a whole.
struct Target<'c> {
    module: &'c Module,
    name: Option<String>,
}

/// The imports between the files of `of`.
pub fn imports(of: &Crate) -> Imports {
    let mut imports = Imports::new();
    for (place, module) in of {
        let names = &module.names;
        let mut add = |path: &Path, target: Option<Target<'_>>| {
            let Some(target) = target.filter(|target| target.module.file != module.file) else {
                return;
            };
            let pair = (module.file.clone(), target.module.file.clone());
            let import = imports.entry(pair).or_insert_with(|| Import {
                line: path.line,
                names: BTreeSet::new(),
            });
            import.line = import.line.min(path.line);
            let last = path.segments.last().cloned();
            import.names.extend(target.name.or(last));
        };
        for (name, path) in &names.uses {
            let target = resolve(of, place, &path.segments, 0);
            // A module that is imported only as a prefix: the names behind it are resolved below.
            let is_prefix = target.as_ref().is_some_and(|target| target.name.is_none())
                && names.paths.iter().any(|path| path.segments[0] == *name);
            if !is_prefix {
                add(path, target);
            }
        }
        for path in &names.globs {
            add(path, resolve(of, place, &path.segments, 0));
        }
        for path in &names.paths {
            add(path, resolve(of, place, &path.segments, 0));
        }
    }
    imports
}

/// The target of the path `segments` in the module at `place`; `None` for a name of another crate.
fn resolve<'c>(
    of: &'c Crate,
    place: &[String],
    segments: &[String],
    hands: usize,
) -> Option<Target<'c>> {
    let absolute = absolute(of, place, segments, hands)?;
    let depth = (0..=absolute.len())
        .rev()
        .find(|depth| of.contains_key(&absolute[..*depth]))?;
    let (place, rest) = absolute.split_at(depth);
    let module = &of[place];
    let Some(name) = rest.first() else {
        return Some(Target { module, name: None });
    };
    if hands >= HANDS_MAX {
        return None;
    }
    let names = &module.names;
    if let Some((_, path)) = names.uses.iter().find(|(known, _)| known == name) {
        let handed_on: Place = path.segments.iter().chain(&rest[1..]).cloned().collect();
        return resolve(of, place, &handed_on, hands + 1);
    }
    if !names.definitions.contains(name) {
        for glob in &names.globs {
            let handed_on: Place = glob.segments.iter().chain(rest).cloned().collect();
            let found = resolve(of, place, &handed_on, hands + 1);
            let is_there = |found: &Target<'_>| {
                let name = found.name.as_ref();
                name.is_none_or(|name| found.module.names.definitions.contains(name))
            };
            if let Some(found) = found.filter(is_there) {
                return Some(found);
            }
        }
    }
    Some(Target {
        module,
        name: Some(name.clone()),
    })
}

/// The path from the crate's root. The first segment is a keyword, a module below, or an import.
fn absolute(of: &Crate, place: &[String], segments: &[String], hands: usize) -> Option<Place> {
    let first = segments.first()?;
    let from = |base: &[String], rest: &[String]| Some([base, rest].concat());
    match first.as_str() {
        "crate" => return from(&[], &segments[1..]),
        "self" => return from(place, &segments[1..]),
        "super" => {
            let climbs = segments.iter().take_while(|word| *word == "super").count();
            let depth = place.len().checked_sub(climbs)?;
            return from(&place[..depth], &segments[climbs..]);
        }
        _ => {}
    }
    let below = from(place, &segments[..1])?;
    if of.contains_key(&below) {
        return from(place, segments);
    }
    let uses = &of.get(place)?.names.uses;
    let (_, path) = uses.iter().find(|(name, _)| name == first)?;
    // `use a::a` names another crate.
    if hands >= HANDS_MAX || path.segments[0] == *first {
        return None;
    }
    let base = absolute(of, place, &path.segments, hands + 1)?;
    from(&base, &segments[1..])
}

#[cfg(test)]
mod tests {
    use super::super::modules::crates;
    use super::*;
    use crate::tidy::source::Source;

    /// A line `a -> b: X, Y` for every pair.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files.iter().map(|(path, text)| Source::new(path, text));
        let crates = crates(&sources.collect::<Vec<_>>());
        let name = |file: &str| file.trim_start_matches("src/").to_owned();
        let line = |((from, to), import): ((String, String), Import)| {
            let names: Vec<_> = import.names.into_iter().collect();
            format!("{} -> {}: {}", name(&from), name(&to), names.join(", "))
        };
        crates.iter().flat_map(imports).map(line).collect()
    }

    #[test]
    fn a_name_is_taken_from_where_it_is_defined() {
        let found = found(&[
            (
                "src/a/mod.rs",
                "mod b;\nmod c;\npub use b::B;\npub struct A;",
            ),
            ("src/a/b.rs", "pub struct B;"),
            ("src/a/c.rs", "use super::{A, B};"),
        ]);
        let expected = [
            "a/mod.rs -> a/b.rs: B",
            "a/c.rs -> a/b.rs: B",
            "a/c.rs -> a/mod.rs: A",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(
            expected
                .iter()
                .all(|line| found.contains(&(*line).to_owned())),
            "{found:?}"
        );
    }

    #[test]
    fn a_module_that_is_imported_counts_by_what_is_named_of_it() {
        let found = found(&[
            ("src/a/mod.rs", "pub mod b;\npub use b::B;"),
            ("src/a/b.rs", "pub struct B;"),
            ("src/c.rs", "use crate::a;\nfn d(_: a::B) {}"),
            ("src/e.rs", "use crate::a;"),
        ]);
        let of_c = found.iter().find(|line| line.starts_with("c.rs"));
        assert_eq!(of_c.map(String::as_str), Some("c.rs -> a/b.rs: B"));
        assert!(found.contains(&"e.rs -> a/mod.rs: a".to_owned()));
    }

    #[test]
    fn other_crates_and_a_declared_module_are_no_imports() {
        let found = found(&[
            ("src/lib.rs", "mod a;"),
            (
                "src/a.rs",
                "use tokio::time;\nfn b() { time::sleep(); Vec::new(); }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
