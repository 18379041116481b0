//! Why a call to Redis failed, in words that never hold the password.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

/// A call's failure. The library's error is kept as scrubbed text and not as a source, because a server that
/// doesn't know a command repeats its arguments, and one of them may be the password.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RedisFailure {
    /// There is no connection; a new one is being made.
    #[error("not connected to redis: {0}")]
    NotConnected(String),
    /// No answer in time. The command may have run, or may run later.
    #[error("redis did not answer {operation} within {limit:?}")]
    TimedOut {
        /// What was asked.
        operation: &'static str,
        /// How long the caller waited.
        limit: Duration,
    },
    /// Redis or the connection failed.
    #[error("redis failed at {operation}: {detail}")]
    Failed {
        /// What was asked.
        operation: &'static str,
        /// The library's words.
        detail: String,
    },
}

/// Whether the error says that this server can't be used, or not yet: it is a replica (perhaps cut off from
/// its primary), is still loading its data, or belongs to a cluster that redirects us. Redis 6 puts this
/// error into the middle of a script's own error text.
pub(super) fn is_of_another_server(error: &redis::RedisError) -> bool {
    const CODES: [&str; 5] = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED"];
    let code = error.code().unwrap_or_default();
    CODES.contains(&code)
        || error.detail().is_some_and(|detail| {
            CODES
                .iter()
                .any(|code| detail.contains(&format!("-{code} ")))
        })
}

/// The password, kept only to remove it from texts.
#[derive(Clone, Default)]
pub(super) struct Scrubber(Option<SecretString>);

impl Scrubber {
    /// A scrubber that removes the password of `info` wherever it occurs.
    pub(super) fn of(info: &redis::ConnectionInfo) -> Self {
        let secret = info.redis_settings().password();
        Self(secret.filter(|secret| !secret.is_empty()).map(Into::into))
    }

    /// `error` as text without the password.
    pub(super) fn text(&self, error: &redis::RedisError) -> String {
        let text = error.to_string();
        match &self.0 {
            Some(secret) => text.replace(secret.expose_secret(), "***"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_sends_us_elsewhere_is_known_by_its_words() {
        let says = |code: &str, detail: &str| {
            is_of_another_server(&redis::make_extension_error(
                code.into(),
                Some(detail.into()),
            ))
        };
        assert!(says(
            "READONLY",
            "You can't write against a read only replica."
        ));
        assert!(says("MOVED", "3999 127.0.0.1:6381"));
        assert!(says(
            "ERR",
            "Error running script: @user_script: 7: -READONLY You can't write against a read only replica."
        ));
        assert!(!says("ERR", "wrong number of arguments"));
        assert!(!says(
            "OOM",
            "command not allowed when used memory > 'maxmemory'."
        ));
    }

    #[test]
    fn a_server_that_repeats_the_password_is_not_repeated() {
        let client = redis::Client::open("redis://:s3cret@127.0.0.1/").expect("a good URL");
        let scrubber = Scrubber::of(client.get_connection_info());
        let error = redis::make_extension_error(
            "ERR".into(),
            Some("unknown command `AUTH`, with args beginning with: `s3cret`".into()),
        );
        let text = scrubber.text(&error);
        assert!(text.contains("AUTH") && !text.contains("s3cret"), "{text}");
    }
}
