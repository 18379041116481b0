//! Finds the top-level modules of its own crate that a file names: by `crate::a`, by `crate::{a::b, c}`, or
//! by a chain of `super::` that leads to the root. Also finds the workspace's crates `domain` and `cluster`.

use crate::tidy::source::{Source, is_word};

/// One mention of a top-level module or a crate of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    pub line: usize,
    pub name: String,
}

/// Every mention in the file, in no particular order.
pub fn references(source: &Source) -> Vec<Reference> {
    let code = source.code.join("\n");
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        if !is_inside_word(&code, at) {
            add_names(&code, at + prefix.len(), &mut found);
        }
    }
    // Tests at the end of a file are one module deeper, so they are skipped.
    let code_only = source.lines_without_tests();
    for (at, chain) in chains_of_super(&code) {
        let climbs = chain.matches("super").count() >= depth(&source.path);
        if climbs && line_of(&code, at) <= code_only {
            add_names(&code, at + chain.len(), &mut found);
        }
    }
    for (name, short) in [
        ("trackops_domain::", "domain"),
        ("trackops_cluster::", "cluster"),
    ] {
        for (at, _) in code.match_indices(name) {
            if !is_inside_word(&code, at) {
                found.push(Reference {
                    line: line_of(&code, at),
                    name: short.to_owned(),
                });
            }
        }
    }
    found
}

/// Reads the text after `crate::`: one name, `*`, or a list in braces.
fn add_names(code: &str, at: usize, found: &mut Vec<Reference>) {
    let rest = &code[at..];
    if !rest.trim_start().starts_with('{') {
        found.push(Reference {
            line: line_of(code, at),
            name: first_name(rest),
        });
        return;
    }
    let mut depth = 0;
    for (offset, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let begins = depth == 1 && matches!(c, '{' | ',');
        let name = if begins {
            first_name(&rest[offset + 1..])
        } else {
            String::new()
        };
        if !name.is_empty() {
            let blanks = rest[offset + 1..].len() - rest[offset + 1..].trim_start().len();
            found.push(Reference {
                line: line_of(code, at + offset + 1 + blanks),
                name,
            });
        }
        if depth == 0 && c == '}' {
            break;
        }
    }
}

fn first_name(text: &str) -> String {
    let text = text.trim_start();
    if text.starts_with('*') {
        return "*".to_owned();
    }
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// Every whole chain `super::super::`, with its position.
fn chains_of_super(code: &str) -> Vec<(usize, &str)> {
    const STEP: &str = "super::";
    let mut chains = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find(STEP).map(|offset| from + offset) {
        let mut end = at;
        while code[end..].starts_with(STEP) {
            end += STEP.len();
        }
        if !is_inside_word(code, at) {
            chains.push((at, &code[at..end]));
        }
        from = end;
    }
    chains
}

/// How many `super::` lead from a file of `src/` to the crate's root.
fn depth(path: &str) -> usize {
    let parts = path.split('/').count() - 1;
    // `src/actors/mod.rs` is `crate::actors`, and so is `src/actors.rs`.
    if path.ends_with("/mod.rs") {
        parts - 1
    } else {
        parts
    }
}

fn is_inside_word(code: &str, at: usize) -> bool {
    code[..at].chars().next_back().is_some_and(is_word)
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
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
            [one(1, "a"), one(1, "*")]
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
