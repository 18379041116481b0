//! The rule against circles: no file imports a file that leads back to it. Leaves the permitted imports of
//! folders to the table of [`super`].

use std::collections::{BTreeMap, BTreeSet};

use super::modules::crates;
use super::resolve::{Import, Imports, imports};
use crate::tidy::finding::Finding;
use crate::tidy::source::Source;

/// Finds the circles among all files.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for of in &crates(sources) {
        let imports = imports(of);
        for circle in circles(&imports) {
            findings.extend(finding(&circle, &imports));
        }
    }
    findings
}

/// Each circle once, as the set of files that lead to each other.
fn circles(imports: &Imports) -> Vec<BTreeSet<&str>> {
    let mut imported: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        imported.entry(from).or_default().push(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = imported
        .keys()
        .map(|file| (*file, reached_from(file, &imported)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, reached_here) in &reached {
        let leads_back = |other: &&&str| {
            let back = reached.get(**other);
            back.is_some_and(|back| back.contains(file))
        };
        let circle: BTreeSet<&str> = reached_here.iter().filter(leads_back).copied().collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// Every file that `file` leads to; `file` itself only if it is in a circle.
fn reached_from<'i>(file: &str, imported: &BTreeMap<&'i str, Vec<&'i str>>) -> BTreeSet<&'i str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(next) = open.pop() {
        for to in imported.get(next).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

/// Describes a circle: its files, and a line for each import between them.
fn finding(circle: &BTreeSet<&str>, imports: &Imports) -> Option<Finding> {
    let is_in = |(from, to): &(String, String)| {
        circle.contains(from.as_str()) && circle.contains(to.as_str())
    };
    let ties: Vec<_> = imports.iter().filter(|(pair, _)| is_in(pair)).collect();
    let ((first, _), Import { line, .. }) = ties.first()?;
    let count = circle.len();
    let mut message =
        format!("a circle of {count} files: move what they share to a third, lower file");
    for ((from, to), Import { names, .. }) in &ties {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        message.extend(["\n    ", from, " -> ", to, ": ", &names.join(", ")]);
    }
    Some(Finding {
        path: first.clone(),
        line: *line,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files.iter().map(|(path, text)| Source::new(path, text));
        let findings = check(&sources.collect::<Vec<_>>());
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_files_that_import_each_other() {
        let found = found(&[
            ("src/a.rs", "//! A.\nuse crate::b::B;\npub struct A;"),
            ("src/b.rs", "pub struct B;\nfn c(_: crate::a::A) {}"),
            ("src/c.rs", "use crate::a::A;"),
        ]);
        let expected = "src/a.rs:2: a circle of 2 files: move what they share to a third, lower file\n    \
                        src/a.rs -> src/b.rs: B\n    src/b.rs -> src/a.rs: A";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn three_files_around_a_loop() {
        let found = found(&[
            ("tool/src/main.rs", "mod a;\nmod b;\nmod c;"),
            ("tool/src/a.rs", "use crate::b::{self};\nfn d() { b::e() }"),
            ("tool/src/b.rs", "use super::c::C;\npub fn e() {}"),
            ("tool/src/c.rs", "pub struct C(crate::a::A);"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("a circle of 3 files"), "{found:?}");
        assert!(found[0].contains("tool/src/a.rs -> tool/src/b.rs: e"));
    }

    #[test]
    fn a_parent_that_hands_on_its_children_and_defines_what_they_use() {
        let child = ("src/a/b.rs", "use super::Shared;\npub struct B;");
        let defines = ("src/a/mod.rs", "mod b;\npub use b::B;\npub struct Shared;");
        assert_eq!(found(&[defines, child]).len(), 1);
        let hands_on = (
            "src/a/mod.rs",
            "mod b;\nmod shared;\npub use b::B;\npub use shared::Shared;",
        );
        let lower = ("src/a/shared.rs", "pub struct Shared;");
        assert!(found(&[hands_on, child, lower]).is_empty());
        let declares = ("src/a/mod.rs", "mod b;\npub struct Shared;");
        assert!(found(&[declares, child]).is_empty());
    }

    #[test]
    fn tests_tie_nothing() {
        let user = ("src/a.rs", "use crate::b::B;\npub struct A;");
        for text in [
            "pub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
            "pub struct B;\n#[cfg(test)]\nuse crate::a::A;",
            "pub struct B;\n#[cfg(test)]\nmod tests;",
        ] {
            let tests = ("src/b/tests.rs", "use crate::a::A;\nuse super::*;");
            assert!(
                found(&[user, ("src/b.rs", text), tests]).is_empty(),
                "{text}"
            );
        }
    }
}
