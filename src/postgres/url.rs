//! The address of a database, read without a word about what it holds: the library's errors repeat values,
//! and it logs parameters that it doesn't know, of which one may be a misspelt password.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use super::OpenError;

/// The parameters that the library understands.
const KNOWN: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The options of `url`, without parameters that mean nothing, which are named in a warning.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let (known, unknown): (Vec<&str>, Vec<&str>) = pairs.partition(|pair| is_known(key(pair)));
    for parameter in unknown.into_iter().map(key) {
        // What doesn't look like a name may be a piece of an unescaped password.
        let is_name = |byte: u8| byte.is_ascii_lowercase() || b"_-".contains(&byte);
        let parameter = if parameter.bytes().all(is_name) {
            parameter
        } else {
            "***"
        };
        tracing::warn!(parameter, "a parameter of the database URL means nothing");
    }
    let url = format!("{base}?{}", known.join("&"));
    PgConnectOptions::from_str(&url).map_err(|_| OpenError::Url)
}

fn key(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(key, _)| key)
}

fn is_known(key: &str) -> bool {
    KNOWN.contains(&key) || key.starts_with("options[") || key.starts_with("options%5B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_and_what_means_nothing_is_left_out() {
        let url = "postgres://u:p@h:5433/db?application_name=x&channel_binding=require&passwrd=p";
        let read = options(url).expect("a URL");
        assert_eq!((read.get_host(), read.get_port()), ("h", 5433));
        assert_eq!(read.get_database(), Some("db"));
        assert_eq!(read.get_application_name(), Some("x"));
        let read = options("postgres:///db?host=h&port=5434&user=u").expect("a URL");
        assert_eq!((read.get_host(), read.get_port()), ("h", 5434));
    }

    #[test]
    fn no_error_shows_the_password() {
        for url in [
            "postgres://u:hunter2@h:port/db",
            "postgres://u:hun?sslmode=hunter2@h/db",
            "postgres://h/db?sslmode=hunter2",
            "postgres://h/db?password=x&port=hunter2",
            "postgres://[hunter2",
            "host=h password=hunter2",
        ] {
            let error = options(url).expect_err(url);
            let debug = format!("{error:?}");
            let shown = format!("{debug} {:#}", anyhow::Error::new(error));
            assert!(!shown.contains("hunter2"), "{url}: {shown}");
        }
    }
}
