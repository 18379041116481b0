//! Where Redis is and how long to wait for it. The settings are checked before a connection is opened.

use std::time::Duration;

use redis::IntoConnectionInfo;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://[user[:password]@]host[:port][/db]`, or `rediss://` with the cargo feature `tls`.
    pub url: SecretString,
    /// The prefix of every key; empty for none.
    pub prefix: String,
    /// The most that one call waits for its answer.
    pub response_timeout: Duration,
    /// The most that one attempt to connect takes, name lookup and login included.
    pub connect_timeout: Duration,
}

/// Why a [`RedisSettings`] can't be used. Says nothing of the password.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RedisConfigError {
    /// The URL asks for TLS, and this build has none.
    #[error(
        "{scheme}:// needs a build with the cargo feature `tls`: use redis:// or build with --features tls"
    )]
    TlsNotBuilt {
        /// The URL's scheme.
        scheme: String,
    },
    /// Not a URL that Redis clients understand.
    #[error("the Redis URL is not of the form redis://[user[:password]@]host[:port][/db]")]
    BadUrl,
}

impl RedisSettings {
    /// Settings with the usual time-outs. 50 ms is the most that a command may lose to a cache that hangs; 2
    /// s is ample to connect across a region, and no caller waits for it.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            prefix: String::new(),
            response_timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(2),
        }
    }

    /// The same with `prefix` before every key.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The client of these settings; opens nothing.
    pub(super) fn client(&self) -> Result<redis::Client, RedisConfigError> {
        let url =
            redis::parse_redis_url(self.url.expose_secret()).ok_or(RedisConfigError::BadUrl)?;
        let scheme = url.scheme();
        if matches!(scheme, "rediss" | "valkeys") && !cfg!(feature = "tls") {
            return Err(RedisConfigError::TlsNotBuilt {
                scheme: scheme.to_owned(),
            });
        }
        // The library's errors are left out, because they quote the URL, which holds the password.
        let info = url
            .into_connection_info()
            .map_err(|_| RedisConfigError::BadUrl)?;
        redis::Client::open(info).map_err(|_| RedisConfigError::BadUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_shows_the_password() {
        for url in [
            "redis://:s3cret@127.0.0.1:6379/0",
            "redis://user:s3cret@host/not-a-db",
            "redis://user:s3cret@[broken",
            "postgres://user:s3cret@host",
        ] {
            let settings = RedisSettings::new(url);
            assert!(!format!("{settings:?}").contains("s3cret"), "{url}");
            if let Err(error) = settings.client() {
                assert!(!format!("{error} {error:?}").contains("s3cret"), "{url}");
            }
        }
    }

    #[test]
    fn an_encrypted_url_is_refused_by_name_without_tls() {
        let refused = RedisSettings::new("rediss://host:6380").client().err();
        if cfg!(feature = "tls") {
            assert!(refused.is_none(), "{refused:?}");
            return;
        }
        let text = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            text.contains("rediss://") && text.contains("`tls`"),
            "{text}"
        );
    }
}
