//! The names that a file imports, uses by path, and defines. Leaves to [`super::resolve`] which file a path
//! leads to.

use std::collections::BTreeSet;

use super::tokens::Token;
use crate::tidy::source::is_word;

/// A path as it is written, with the line where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
}

/// The names of one file.
#[derive(Debug, Default)]
pub struct Names {
    /// Paths that `use` imports, each with its name in this file.
    pub uses: Vec<(String, Path)>,
    /// The modules that `use` imports with `*`.
    pub globs: Vec<Path>,
    /// Paths in the code outside of `use`.
    pub paths: Vec<Path>,
    /// The names that are defined in the file, at any depth.
    pub definitions: BTreeSet<String>,
}

const DEFINING: [&str; 9] = [
    "fn", "struct", "enum", "trait", "type", "const", "static", "union", "mod",
];

/// The names of the file with these tokens.
pub fn names(tokens: &[Token<'_>]) -> Names {
    let mut names = Names::default();
    let mut at = 0;
    while at < tokens.len() {
        let word = tokens[at].text;
        // `use<'a>` is no import: it names the lifetimes that a type captures.
        if word == "use" && text(tokens, at + 1) != "<" {
            at = add_tree(tokens, at + 1, &[], &mut names);
            continue;
        }
        if DEFINING.contains(&word) {
            names.definitions.insert(text(tokens, at + 1).to_owned());
        } else if word == "macro_rules" {
            names.definitions.insert(text(tokens, at + 2).to_owned());
        }
        let path = path_at(tokens, at);
        at += (path.segments.len() * 2).saturating_sub(1).max(1);
        if path.segments.len() > 1 {
            names.paths.push(path);
        }
    }
    names
}

/// Reads one tree of a `use` below `prefix`; returns the index of the token after it.
fn add_tree(tokens: &[Token<'_>], mut at: usize, prefix: &[String], names: &mut Names) -> usize {
    let mut segments = prefix.to_vec();
    while at < tokens.len() {
        let Token { text: word, line } = tokens[at];
        match word {
            "::" => at += 1,
            "{" => {
                at += 1;
                while !matches!(text(tokens, at), "}" | "") {
                    at = match text(tokens, at) {
                        "," => at + 1,
                        _ => add_tree(tokens, at, &segments, names),
                    };
                }
                return at + 1;
            }
            "*" => {
                names.globs.push(Path { segments, line });
                return at + 1;
            }
            _ if word.starts_with(is_word) => {
                segments.push(word.to_owned());
                at += 1;
                if text(tokens, at) != "::" {
                    return add_leaf(tokens, at, Path { segments, line }, names);
                }
            }
            _ => return at + 1,
        }
    }
    at
}

/// Reads the end of a branch: perhaps `as` another name, perhaps `self` for the module itself.
fn add_leaf(tokens: &[Token<'_>], at: usize, mut path: Path, names: &mut Names) -> usize {
    if path.segments.len() > 1 && path.segments.last().is_some_and(|last| last == "self") {
        path.segments.pop();
    }
    let is_renamed = text(tokens, at) == "as";
    let name = if is_renamed {
        text(tokens, at + 1).to_owned()
    } else {
        path.segments.last().cloned().unwrap_or_default()
    };
    names.uses.push((name, path));
    if is_renamed { at + 2 } else { at }
}

/// The path that begins at `at`; without segments if none begins there.
fn path_at(tokens: &[Token<'_>], at: usize) -> Path {
    let mut path = Path {
        segments: Vec::new(),
        line: tokens[at].line,
    };
    let text_before = |back| at.checked_sub(back).map_or("", |at| tokens[at].text);
    let before = text_before(1);
    let is_field = before == "." && text_before(2) != ".";
    // Not ours: a path of another crate (`::a`), a field or method (`a.b`), or a visibility (`pub(in a)`).
    if before == "::" || is_field || (before == "in" && text_before(2) == "(") {
        return path;
    }
    let mut next = at;
    while text(tokens, next).starts_with(is_word) {
        path.segments.push(tokens[next].text.to_owned());
        if text(tokens, next + 1) != "::" {
            break;
        }
        next += 2;
    }
    path
}

fn text<'s>(tokens: &[Token<'s>], at: usize) -> &'s str {
    tokens.get(at).map_or("", |token| token.text)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;
    use crate::tidy::source::Source;

    fn read(text: &str) -> Names {
        names(&tokens(&Source::new("src/a.rs", text)).tokens)
    }

    fn joined(paths: &[Path]) -> Vec<String> {
        paths.iter().map(|path| path.segments.join("::")).collect()
    }

    fn uses(text: &str) -> Vec<(String, String)> {
        let uses = read(text).uses.into_iter();
        uses.map(|(name, path)| (name, path.segments.join("::")))
            .collect()
    }

    fn pair(name: &str, path: &str) -> (String, String) {
        (name.to_owned(), path.to_owned())
    }

    #[test]
    fn every_branch_of_a_use_is_an_import() {
        let text = "pub use crate::{a::{self, B as C}, d};\nuse super::e;";
        assert_eq!(
            uses(text),
            [
                pair("a", "crate::a"),
                pair("C", "crate::a::B"),
                pair("d", "crate::d"),
                pair("e", "super::e"),
            ]
        );
        assert_eq!(joined(&read("use super::*;").globs), ["super"]);
        assert_eq!(uses("use super::A as _;").len(), 1);
    }

    #[test]
    fn paths_in_the_code_count_and_what_only_looks_like_one_does_not() {
        let text =
            "fn a(b: super::c::D<e::F>) { g::h(); i.j(); ::k::l(); use_it::<M>(); N { ..o::P } }";
        let found = joined(&read(text).paths);
        assert_eq!(found, ["super::c::D", "e::F", "g::h", "o::P"]);
        assert!(read("pub(in super::super) fn a() {}").paths.is_empty());
        assert!(uses("fn a() -> impl B + use<'_> {}").is_empty());
    }

    #[test]
    fn definitions_of_every_kind() {
        let names = read("struct A; pub enum B {} const C: u8 = 1; macro_rules! d {} fn e() {}");
        let found: Vec<_> = names.definitions.into_iter().collect();
        assert_eq!(found, ["A", "B", "C", "d", "e"]);
    }
}
