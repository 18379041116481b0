//! One source file as the rules see it: its lines, and the same lines with comments and the contents of
//! literals blanked, so that words in them don't count.

/// A file's text, as written and as code only.
#[derive(Debug)]
pub struct Source {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// The lines as written.
    pub lines: Vec<String>,
    /// The lines with code only; as many as `lines`.
    pub code: Vec<String>,
}

impl Source {
    /// Splits a file into its lines.
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        Self {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            code: code.lines().map(str::to_owned).collect(),
        }
    }

    /// Whether a tool generated it.
    pub fn is_generated(&self) -> bool {
        self.lines
            .first()
            .is_some_and(|line| line.contains("@generated"))
    }

    /// The number of lines before the tests at the end of the file.
    pub fn lines_without_tests(&self) -> usize {
        let is_module = |line: &String| {
            let line = line.trim_start();
            line.starts_with("mod ") || line.starts_with("pub mod ")
        };
        let tests = self.code.windows(2).position(|pair| {
            pair[0].trim() == "#[cfg(test)]" && is_module(&pair[1]) && pair[1].contains('{')
        });
        tests.unwrap_or(self.lines.len())
    }

    /// Every line of code with its number, from 1.
    pub fn numbered_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .iter()
            .enumerate()
            .map(|(index, line)| (index + 1, line.as_str()))
    }
}

/// Blanks comments and the contents of literals; line breaks stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped_until(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
            continue;
        }
        code.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    code
}

/// The index where the comment or literal that begins at `at` ends; `at` if none begins there.
fn skipped_until(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    let after_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |rest| rest[0] == '\n'),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        'r' if !after_word || chars[at - 1] == 'b' => raw_string_end(chars, at),
        '\'' => char_end(chars, at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, is_end: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|at| is_end(&chars[*at..]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], open: usize) -> usize {
    let mut at = open + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], open: usize) -> usize {
    let hashes = chars[open + 1..].iter().take_while(|c| **c == '#').count();
    let quote = open + 1 + hashes;
    if chars.get(quote) != Some(&'"') {
        return open;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest[1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (find(chars, quote + 1, closes) + 1 + hashes).min(chars.len())
}

/// The end of a character literal, unless the quote begins a lifetime.
fn char_end(chars: &[char], open: usize) -> usize {
    match chars[open..] {
        [_, '\\', _, ..] => (find(chars, open + 3, |rest| rest[0] == '\'') + 1).min(chars.len()),
        [_, _, '\'', ..] => open + 3,
        _ => open,
    }
}

/// Whether the character can be part of a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        blank(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // todo!()\nb"), "a b");
        assert_eq!(code("a /* x /* y */ z */ b"), "a b");
        assert_eq!(code(r#"a("todo!() \" dbg!()", b)"#), "a( , b)");
        assert_eq!(code("a(r#\"x \" y\"#, br\"z\", b)"), "a( , b , b)");
        assert_eq!(
            code("a('\"', '\\'', b'x', '\\u{1F600}') + b"),
            "a( , , b , ) + b"
        );
    }

    #[test]
    fn lifetimes_and_names_that_end_in_r_stay() {
        assert_eq!(
            code("fn a<'a>(x: &'a str) -> &'a str"),
            "fn a<'a>(x: &'a str) -> &'a str"
        );
        assert_eq!(code("for r in r#type"), "for r in r#type");
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = Source::new("src/a.rs", "one\n/* two\nthree */\nfour \"x\ny\"\nsix");
        assert_eq!(source.code.len(), source.lines.len());
        assert_eq!(source.code[5], "six");
    }

    #[test]
    fn an_inline_module_of_tests_ends_the_count() {
        let text = "//! a\nfn b() {}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(Source::new("src/a.rs", text).lines_without_tests(), 2);
        let elsewhere = "#[cfg(test)]\nmod tests;\nfn b() {}\n";
        assert_eq!(Source::new("src/a.rs", elsewhere).lines_without_tests(), 3);
    }
}
