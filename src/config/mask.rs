//! Passwords in URLs, masked wherever a configuration is printed.

/// `url` with its password, if it has one, replaced by `***`.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // A password may hold an unescaped `@` or `/`: then everything before the last `@` is hidden.
    let (authority, tail) = match rest.rfind('@') {
        Some(at) if at > end => rest.split_at(
            rest[at..]
                .find(['/', '?', '#'])
                .map_or(rest.len(), |i| at + i),
        ),
        _ => (authority, tail),
    };
    let Some((user, host)) = authority.rsplit_once('@') else {
        return format!("{scheme}://{rest}");
    };
    let user = match user.split_once(':') {
        Some((name, _)) => format!("{name}:***"),
        None => user.to_owned(),
    };
    let tail = match tail.to_ascii_lowercase().find("password=") {
        Some(at) => {
            let from = at + "password=".len();
            let to = tail[from..].find('&').map_or(tail.len(), |i| from + i);
            format!("{}***{}", &tail[..from], &tail[to..])
        }
        None => tail.to_owned(),
    };
    format!("{scheme}://{user}@{host}{tail}")
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn passwords_never_show() {
        assert_eq!(
            masked("postgres://u:secret@h:5432/db"),
            "postgres://u:***@h:5432/db"
        );
        assert_eq!(masked("redis://:secret@h/0"), "redis://:***@h/0");
        assert_eq!(
            masked("postgres://u:se/cr@et@h/db"),
            "postgres://u:***@h/db"
        );
        assert_eq!(
            masked("postgres://u@h/db?password=secret&x=1"),
            "postgres://u@h/db?password=***&x=1"
        );
        assert_eq!(masked("postgres://h/db"), "postgres://h/db");
        assert_eq!(masked(""), "");
    }
}
