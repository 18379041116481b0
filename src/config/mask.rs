//! Passwords, by themselves and in URLs, masked wherever a configuration is printed.

/// What is secret in a query, in lower case.
const SECRET_KEYS: [&str; 2] = ["password", "sslpassword"];

/// Whether there is a `secret`, and nothing more of it.
pub(super) fn hidden(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "***" }
}

/// `url` with every password that it has, before the host or in its query, replaced by `***`.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    if rest
        .find('?')
        .is_some_and(|query| rest[query..].contains('@'))
    {
        // Unescaped, it may be of a password before the host or of one in the query.
        return format!("{scheme}://***");
    }
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
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{}", without_secrets(tail))
}

/// The path and the query, without the values of secret keys.
fn without_secrets(tail: &str) -> String {
    let Some((path, query)) = tail.split_once('?') else {
        return tail.into();
    };
    let pairs = query.split('&').map(|pair| {
        let (key, _) = pair.split_once('=').unwrap_or((pair, ""));
        if SECRET_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
            format!("{key}=***")
        } else {
            pair.to_owned()
        }
    });
    let query: Vec<String> = pairs.collect();
    format!("{path}?{}", query.join("&"))
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
        assert_eq!(
            masked("postgres://h/db?user=u&password=secret"),
            "postgres://h/db?user=u&password=***"
        );
        assert_eq!(
            masked("postgres://h?PassWord=secret&sslpassword=secret&a=b"),
            "postgres://h?PassWord=***&sslpassword=***&a=b"
        );
        assert_eq!(masked("postgres://h/db?password=se@cret"), "postgres://***");
        assert_eq!(masked("postgres://u:se?x=cr@h/db"), "postgres://***");
        assert_eq!(masked("postgres://h/db"), "postgres://h/db");
        assert_eq!(masked(""), "");
    }
}
