//! Reads a database's URL without showing any value of it. The library's errors repeat values, and it logs
//! unknown parameters, one of which may be a misspelt password.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr as _;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use thiserror::Error;

/// How to connect to a database. Prints without the password, which the library's own type shows.
#[derive(Clone)]
pub(super) struct DatabaseOptions(PgConnectOptions);

impl Deref for DatabaseOptions {
    type Target = PgConnectOptions;

    fn deref(&self) -> &PgConnectOptions {
        &self.0
    }
}

impl fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseOptions")
            .field("host", &self.get_host())
            .field("port", &self.get_port())
            .field("database", &self.get_database())
            .finish_non_exhaustive()
    }
}

/// Why a database can't be used at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL can't be understood. The library's message is left out, because it repeats parts of the URL.
    #[error(
        "the database URL isn't of the form postgres://user:password@host:port/database, or a parameter of \
         it has no such value; what isn't a letter or a digit in a password is escaped, as in %40 for @"
    )]
    Url,
    /// The URL asks for TLS.
    #[error("sslmode={0} needs a build with the feature `tls`")]
    TlsNotBuilt(&'static str),
}

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

/// The options of `url`, as every connection here uses them.
pub(super) fn options(url: &str) -> Result<DatabaseOptions, OpenError> {
    let options = known_options(url)?;
    if !cfg!(feature = "tls") {
        match options.get_ssl_mode() {
            PgSslMode::Require => return Err(OpenError::TlsNotBuilt("require")),
            PgSslMode::VerifyCa => return Err(OpenError::TlsNotBuilt("verify-ca")),
            PgSslMode::VerifyFull => return Err(OpenError::TlsNotBuilt("verify-full")),
            _ => {}
        }
    }
    let options = options
        .application_name("trackops")
        // Poolers refuse this start parameter, and no number here needs it.
        .extra_float_digits(None)
        .disable_statement_logging();
    Ok(DatabaseOptions(options))
}

/// The options of `url` without unknown parameters; a warning names those.
fn known_options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let (known, unknown): (Vec<&str>, Vec<&str>) = pairs.partition(|pair| is_known(key(pair)));
    for parameter in unknown.into_iter().map(key) {
        // Text that doesn't look like a name may be a part of an unescaped password.
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
        let read = known_options(url).expect("a URL");
        assert_eq!((read.get_host(), read.get_port()), ("h", 5433));
        assert_eq!(read.get_database(), Some("db"));
        assert_eq!(read.get_application_name(), Some("x"));
        let read = known_options("postgres:///db?host=h&port=5434&user=u").expect("a URL");
        assert_eq!((read.get_host(), read.get_port()), ("h", 5434));
    }

    #[test]
    fn no_debug_print_shows_the_password() {
        let options = options("postgres://u:hunter2@h:5433/db").expect("a URL");
        let printed = format!("{options:?} {options:#?}");
        assert!(
            printed.contains("5433") && !printed.contains("hunter2"),
            "{printed}"
        );
    }

    #[test]
    fn an_encrypted_connection_is_refused_by_name_without_tls() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let refused = options(&format!("postgres://u@h/db?sslmode={mode}")).err();
            if cfg!(feature = "tls") {
                assert!(refused.is_none(), "{refused:?}");
                continue;
            }
            let text = refused.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains(mode) && text.contains("`tls`"), "{text}");
        }
        assert!(options("postgres://u@h/db?sslmode=prefer").is_ok());
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
            let error = known_options(url).expect_err(url);
            let debug = format!("{error:?}");
            let shown = format!("{debug} {:#}", anyhow::Error::new(error));
            assert!(!shown.contains("hunter2"), "{url}: {shown}");
        }
    }
}
