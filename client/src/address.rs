//! A server's base URL: checked, joined with paths, and shown without user and password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use super::error::Error;

/// Whether `https` can be spoken.
const HAS_TLS: bool = cfg!(feature = "tls");

/// The base URL of a server.
#[derive(Clone, Debug)]
pub struct ServerAddress {
    /// Without user and password.
    base: Url,
    shown: String,
    authorization: Option<HeaderValue>,
}

impl ServerAddress {
    /// Checks `url`.
    pub fn parse(url: &str) -> Result<Self, Error> {
        // A URL that may hold a user and a password is not repeated.
        let named = if url.contains('@') { "that" } else { url };
        let mut base = Url::parse(url)
            .map_err(|error| Error::Usage(format!("{named} is not a URL: {error}")))?;
        let can_speak = base.scheme() == "http" || (HAS_TLS && base.scheme() == "https");
        if !can_speak || base.host().is_none() {
            let form = if HAS_TLS {
                "http://HOST:PORT or https://HOST:PORT"
            } else {
                "http://HOST:PORT (this build speaks no TLS)"
            };
            return Err(Error::Usage(format!("{named}: must be {form}")));
        }
        let authorization = basic(&base);
        // Fails only for a URL that can have no user and password.
        let _ = base.set_username("").and_then(|()| base.set_password(None));
        base.set_query(None);
        base.set_fragment(None);
        let shown = base.as_str().trim_end_matches('/').into();
        Ok(Self {
            base,
            shown,
            authorization,
        })
    }

    /// The address of `segments` below the base, each segment escaped.
    pub fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // A URL with a host can always be a base.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The base URL, without user and password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether connections are encrypted.
    #[cfg(feature = "tls")]
    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Sends `credential` from now on (RFC 6750).
    pub fn bear(&mut self, credential: &str) -> Result<(), Error> {
        let value = HeaderValue::try_from(format!("Bearer {credential}"));
        // The credential itself is not repeated.
        let mut value =
            value.map_err(|_| Error::Usage("the credential can't be sent in a header".into()))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(())
    }

    /// `Authorization` with the credential, or else with the URL's user and password, if it had them.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// `Basic …` (RFC 7617).
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    // Base64 is always a valid header value.
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> ServerAddress {
        ServerAddress::parse(url).expect("a base URL")
    }

    #[test]
    fn paths_are_joined_and_escaped() {
        let address = parse("http://h:1/base/?x=1#y");
        let url = address.join(&["api", "v1", "orders", "a/b c"]);
        assert_eq!(url.as_str(), "http://h:1/base/api/v1/orders/a%2Fb%20c");
        assert_eq!(parse("http://h").join(&["a"]).as_str(), "http://h/a");
        assert!(ServerAddress::parse("h:8080").is_err());
        assert!(ServerAddress::parse("ftp://h").is_err());
        assert_eq!(ServerAddress::parse("https://h").is_ok(), HAS_TLS);
    }

    #[test]
    fn a_password_is_sent_and_not_shown() {
        let address = parse("http://Aladdin:open%20sesame@h:1");
        assert_eq!(address.shown(), "http://h:1");
        let sent = address.authorization().expect("a header");
        assert_eq!(sent, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{address:?}").contains("QWxh"), "{address:?}");
        assert!(parse("http://h:1").authorization().is_none());
        for url in ["u:hunter2@h", "ftp://u:hunter2@h", "http://u:hunter2@h:x"] {
            let refused = ServerAddress::parse(url).expect_err("no base URL");
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
    }
}
