//! The words and signs of a file's code, without code that only a test build has. Leaves their meaning to
//! [`super::paths`].

use std::ops::Range;

use crate::tidy::source::{Source, is_word};

/// A word, `::`, or one sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'s> {
    pub text: &'s str,
    /// From 1.
    pub line: usize,
}

/// The tokens of a file, and its modules that only a test build has.
#[derive(Debug, Default)]
pub struct Tokens<'s> {
    pub tokens: Vec<Token<'s>>,
    /// Names of modules that are declared under `#[cfg(test)]` and have files of their own.
    pub test_modules: Vec<&'s str>,
}

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// The words that an item begins with; anything else under an attribute is a field or an arm.
const ITEMS: [&str; 15] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "use",
];

/// The tokens of `source` that every build has.
pub fn tokens(source: &Source) -> Tokens<'_> {
    let all = all_tokens(source);
    let mut found = Tokens::default();
    let mut at = 0;
    while at < all.len() {
        if is_cfg_test(&all[at..]) {
            let item = item_after(&all, at + CFG_TEST.len());
            found
                .test_modules
                .extend(declared_module(&all[item.clone()]));
            at = item.end;
        } else {
            found.tokens.push(all[at]);
            at += 1;
        }
    }
    found
}

/// All tokens of `source`, those of its tests included.
pub fn all_tokens(source: &Source) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, code) in source.numbered_code() {
        let mut rest = code.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token { text, line });
            rest = after.trim_start();
        }
    }
    tokens
}

fn is_cfg_test(tokens: &[Token<'_>]) -> bool {
    let texts = tokens.iter().map(|token| token.text);
    texts.take(CFG_TEST.len()).eq(CFG_TEST)
}

/// The range from the first word after the attributes to the end of the item, the field or the arm.
fn item_after(tokens: &[Token<'_>], mut from: usize) -> Range<usize> {
    while text(tokens, from) == "#" {
        from = closing(tokens, from + 1) + 1;
    }
    let is_item = ITEMS.contains(&text(tokens, from));
    let mut at = from;
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return from..at + 1,
            "{" if is_item && !is_use(&tokens[from..at]) => return from..closing(tokens, at) + 1,
            "{" | "(" | "[" => at = closing(tokens, at),
            "," if !is_item => return from..at + 1,
            // The end of the block that contains the field or the arm.
            "}" | ")" | "]" => return from..at,
            _ => {}
        }
        at += 1;
    }
    from..tokens.len()
}

fn is_use(item: &[Token<'_>]) -> bool {
    item.iter().any(|token| token.text == "use")
}

/// The index where the bracket that opens at `open` closes.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens[open..].iter().enumerate() {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    tokens.len().saturating_sub(1)
}

/// The name in a declaration such as `mod tests;`.
fn declared_module<'s>(item: &[Token<'s>]) -> Option<&'s str> {
    let at = item.iter().position(|token| token.text == "mod")?;
    let is_file = item.last().is_some_and(|token| token.text == ";");
    item.get(at + 1).filter(|_| is_file).map(|token| token.text)
}

fn text<'s>(tokens: &[Token<'s>], at: usize) -> &'s str {
    tokens.get(at).map_or("", |token| token.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> (String, Vec<String>) {
        let source = Source::new("src/a.rs", text);
        let found = tokens(&source);
        let words: Vec<&str> = found.tokens.iter().map(|token| token.text).collect();
        let modules = found.test_modules.iter().map(ToString::to_string);
        (words.join(" "), modules.collect())
    }

    #[test]
    fn words_and_signs_with_their_lines() {
        let source = Source::new("src/a.rs", "use a::b;\n// c\nd();\n");
        let found = tokens(&source).tokens;
        let pairs: Vec<_> = found.iter().map(|t| (t.text, t.line)).collect();
        let first = [("use", 1), ("a", 1), ("::", 1), ("b", 1), (";", 1)];
        assert_eq!(pairs[..5], first);
        assert_eq!(pairs[5], ("d", 3));
    }

    #[test]
    fn what_only_a_test_build_has_is_left_out() {
        for (text, left) in [
            (
                "#[cfg(test)]\nmod tests { use super::*; fn a() {} }\nx",
                "x",
            ),
            ("#[cfg(test)]\nuse super::{a, b};\nx", "x"),
            (
                "#[cfg(test)]\nfn a<B, C>(b: B) -> [u8; 2] { c(b); }\nx",
                "x",
            ),
            (
                "#[cfg(test)]\npub(super) const A: [u8; 2] = [1, 2];\nx",
                "x",
            ),
            (
                "struct S { #[cfg(test)]\na: Vec<u8>, b: u8 }",
                "struct S { b : u8 }",
            ),
            ("f(#[cfg(test)] a)", "f ( )"),
            (
                "#[cfg(test)]\n#[allow(dead_code)]\nimpl A { fn b() {} }\nx",
                "x",
            ),
            ("#[cfg(unix)] mod a;", "# [ cfg ( unix ) ] mod a ;"),
        ] {
            assert_eq!(kept(text).0, left, "{text}");
        }
    }

    #[test]
    fn modules_of_tests_in_files_are_named() {
        let text = "#[cfg(test)]\nmod plan_tests;\n#[cfg(test)]\npub(crate) mod samples;\nmod a;\n";
        let (left, modules) = kept(text);
        assert_eq!(left, "mod a ;");
        assert_eq!(modules, ["plan_tests", "samples"]);
    }
}
