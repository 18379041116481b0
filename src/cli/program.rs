//! This program's own name, as it can be pasted into a shell.

/// The full path of this binary, quoted where a shell needs it.
pub fn path() -> String {
    let path = std::env::current_exe()
        .map_or_else(|_| "trackops".to_owned(), |path| path.display().to_string());
    quoted(&path)
}

/// `word`, quoted for a POSIX shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:=@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_what_needs_it_is_quoted() {
        assert_eq!(quoted("/opt/trackops"), "/opt/trackops");
        assert_eq!(quoted("/my disk/it's"), r"'/my disk/it'\''s'");
        assert_eq!(quoted("http://h/x?limit=3"), "'http://h/x?limit=3'");
    }
}
