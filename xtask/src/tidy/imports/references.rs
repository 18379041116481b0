//! The top-level modules of its own crate that a file names, also in its tests: by `crate::a`, by
//! `crate::{a::b, c}`, or by a chain of `super::` that leads to the root. Also the workspace's crates `domain`,
//! `cluster` and `client`. Leaves reading the paths to [`super::paths`].

use std::collections::BTreeSet;

use super::modules::{place, split};
use super::paths::names;
use super::tokens::all_tokens;
use crate::tidy::source::Source;

/// One mention of a top-level module or a crate of ours.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub line: usize,
    pub name: String,
}

/// Every mention in the file, once a line; `*` for all modules.
pub fn references(source: &Source) -> BTreeSet<Reference> {
    let depth = split(&source.path).map_or(0, |(_, below)| place(below).len());
    // Tests at the end of a file are one module deeper, so chains in them are skipped.
    let last = source.lines_without_tests();
    let names = names(&all_tokens(source));
    let globs = names.globs.into_iter().map(|mut path| {
        path.segments.push("*".to_owned());
        path
    });
    let uses = names.uses.into_iter().map(|(_, path)| path);
    uses.chain(globs)
        .chain(names.paths)
        .filter_map(|path| {
            let climbs = path.segments.iter().take_while(|word| *word == "super");
            let name = match (path.segments[0].as_str(), climbs.count()) {
                ("trackops_domain", _) => "domain",
                ("trackops_cluster", _) => "cluster",
                ("trackops_client", _) => "client",
                ("crate", _) => path.segments.get(1)?.as_str(),
                (_, 0) => return None,
                (_, climbs) if climbs < depth || path.line > last => return None,
                (_, climbs) => path.segments.get(climbs)?.as_str(),
            };
            let name = name.to_owned();
            Some(Reference {
                line: path.line,
                name,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, text: &str) -> Vec<(usize, String)> {
        let found = references(&Source::new(path, text));
        found
            .into_iter()
            .map(|reference| (reference.line, reference.name))
            .collect()
    }

    fn one(line: usize, name: &str) -> (usize, String) {
        (line, name.to_owned())
    }

    #[test]
    fn single_names_wherever_they_stand() {
        let text = "use crate::ports::Bus;\nlet a = crate::codec::decode(b);\n// crate::api\n";
        assert_eq!(
            names("src/a/b.rs", text),
            [one(1, "ports"), one(2, "codec")]
        );
        assert_eq!(
            names("src/a/b.rs", "$crate::error::bail!()"),
            [one(1, "error")]
        );
        assert!(names("src/a/b.rs", "my_crate::ports::Bus").is_empty());
        let update = "let a = A { ..crate::ports::A::default() };";
        assert_eq!(names("src/a/b.rs", update), [one(1, "ports")]);
        let in_tests = "#[cfg(test)]\nmod tests {\n    use crate::ports::Bus;\n}\n";
        assert_eq!(names("src/a/b.rs", in_tests), [one(3, "ports")]);
    }

    #[test]
    fn lists_in_braces_and_over_lines() {
        let text = "use crate::{\n    ports::{Bus, Journal},\n    codec::stored,\n};\nlet x = 1;";
        assert_eq!(
            names("src/a/b.rs", text),
            [one(2, "ports"), one(3, "codec")]
        );
        assert_eq!(
            names("src/a/b.rs", "use crate::{a, *};"),
            [one(1, "*"), one(1, "a")]
        );
    }

    #[test]
    fn super_counts_only_if_it_leads_to_the_root() {
        assert!(names("src/a/b.rs", "use super::c;").is_empty());
        assert_eq!(names("src/a/b.rs", "use super::super::c;"), [one(1, "c")]);
        assert_eq!(names("src/a/mod.rs", "use super::c;"), [one(1, "c")]);
        assert_eq!(names("src/a.rs", "use super::c;"), [one(1, "c")]);
        let tests = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use super::super::b;\n}\n";
        assert!(names("src/a/b.rs", tests).is_empty());
    }
}
