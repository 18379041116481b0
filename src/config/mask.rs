//! Hides secrets when a configuration is printed. Every value that may hold a secret is hidden; the parts of
//! a URL are shown only if the whole URL has the expected form.

use secrecy::{ExposeSecret as _, SecretString};

/// The query parameters that may be shown, in lower case. An unknown parameter may be a misspelt password.
const OPEN_KEYS: [&str; 9] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
    "connect_timeout",
    "target_session_attrs",
    "protocol",
];

/// All values of `sslmode`.
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// Printed instead of a secret.
const HIDDEN: &str = "***";

/// Shows whether there is a `secret`, and nothing else about it.
pub(super) fn hidden(secret: &SecretString) -> &'static str {
    if secret.expose_secret().is_empty() {
        ""
    } else {
        HIDDEN
    }
}

/// `url` with `***` for its password and for every parameter that may be one; `***` for the whole URL if it
/// hasn't the form `scheme://[user[:password]@]host[:port][/path][?query]`.
pub(super) fn masked(url: &SecretString) -> String {
    let url = url.expose_secret();
    if url.is_empty() {
        return String::new();
    }
    shown(url).unwrap_or_else(|| HIDDEN.into())
}

fn shown(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase());
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match address.find('/') {
        Some(at) => address.split_at(at),
        None => (address, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let user = match user.map(|user| (user, user.split_once(':'))) {
        None => String::new(),
        Some((_, Some((name, _)))) if is_plain(name) => format!("{name}:{HIDDEN}@"),
        // Redis servers may have a password and no user, so a lone name before the `@` may be a password.
        Some((user, None)) if is_plain(user) && scheme.starts_with("postgres") => {
            format!("{user}@")
        }
        Some(_) => format!("{HIDDEN}@"),
    };
    let is_path = path.split('/').all(is_plain);
    // An `@` after the host belongs to an unescaped password, and so may everything before it.
    if !is_scheme || !are_hosts(host) || !is_path || query.is_some_and(|query| query.contains('@'))
    {
        return None;
    }
    let query = query.map(open).unwrap_or_default();
    Some(format!("{scheme}://{user}{host}{path}{query}"))
}

/// The query, with the values of only those keys that never hold a secret.
fn open(query: &str) -> String {
    let pairs = query.split('&').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_open = match key.to_ascii_lowercase().as_str() {
            "sslmode" | "ssl-mode" => SSL_MODES.contains(&value),
            key => OPEN_KEYS.contains(&key) && is_plain(value),
        };
        if is_open {
            pair.to_owned()
        } else if is_plain(key) {
            format!("{key}={HIDDEN}")
        } else {
            HIDDEN.to_owned()
        }
    });
    format!("?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// Whether `text` consists only of characters that names are made of.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-_%".contains(&b))
}

/// `host:port,host:port` unchanged; anything else is hidden.
pub(super) fn brokers(list: &SecretString) -> &str {
    let list = list.expose_secret();
    let list_of_hosts = list.strip_prefix("kafka://").unwrap_or(list);
    if are_hosts(list_of_hosts) {
        list
    } else {
        HIDDEN
    }
}

/// Whether `list` consists only of hosts, with or without ports.
pub(super) fn are_hosts(list: &str) -> bool {
    list.split(',').map(str::trim).all(|address| {
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !address.ends_with(']') => (host, port),
            _ => (address, ""),
        };
        let inner = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        let is_host = match inner {
            Some(ip) => ip.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
            None => is_plain(host),
        };
        is_host && port.bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::{brokers, masked};

    #[test]
    fn passwords_never_show() {
        for (url, shown) in [
            (
                "postgres://u:secret@h:5432/db",
                "postgres://u:***@h:5432/db",
            ),
            ("redis://:secret@h/0", "redis://:***@h/0"),
            ("redis://secret@h/0", "redis://***@h/0"),
            ("postgres://u:se/cr@et@h/db", "***"),
            ("postgres://u:se@cr@h/db", "postgres://u:***@h/db"),
            (
                "postgres://u@h/db?password=secret&sslmode=require",
                "postgres://u@h/db?password=***&sslmode=require",
            ),
            (
                "postgres://h/db?user=u&password=secret",
                "postgres://h/db?user=u&password=***",
            ),
            (
                "postgres://h?PassWord=secret&passwrd=secret&a",
                "postgres://h?PassWord=***&passwrd=***&a=***",
            ),
            ("postgres://h/db?password=se@cret", "***"),
            (
                "postgres://h/db?sslmode=secret",
                "postgres://h/db?sslmode=***",
            ),
            ("postgres://u:se?x=cr@h/db", "***"),
            ("postgres://u:se#cr@h/db", "postgres://u:***@h/db"),
            ("postgres://h/db#secret", "***"),
            ("postgres://[::1]:5432/db", "postgres://[::1]:5432/db"),
            ("postgres://%2Frun%2Fpg/db", "postgres://%2Frun%2Fpg/db"),
            // Other ways to write a connection.
            ("host=h user=u password=secret dbname=db", "***"),
            ("postgres://host=h password=secret", "***"),
            ("u:secret@h:5432/db", "***"),
            ("postgres:u:secret@h/db", "***"),
            ("POSTGRES//u:secret@h/db", "***"),
            ("jdbc:postgresql://h/db?user=u&password=secret", "***"),
            ("postgres://u:secret", "***"),
            ("h/db", "***"),
            ("secret", "***"),
            ("postgres://h/db", "postgres://h/db"),
            ("", ""),
        ] {
            assert_eq!(masked(&url.into()), shown, "{url}");
        }
        assert_eq!(brokers(&"a:9092,b:9092".into()), "a:9092,b:9092");
        assert_eq!(brokers(&"kafka://a:9092".into()), "kafka://a:9092");
        assert_eq!(brokers(&"kafka://u:secret@a:9092".into()), "***");
        assert_eq!(brokers(&"a:9092;password=secret".into()), "***");
        assert_eq!(brokers(&"u:secret,a:9092".into()), "***");
        assert_eq!(brokers(&"a:9092, [::1]:9092".into()), "a:9092, [::1]:9092");
    }
}
