//! The client of one server, and how it is set up. The calls themselves are in `orders`, `inventory`, `admin`
//! and `live`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::address::ServerAddress;
use super::answer::Answer;
use super::dial::Dialer;
use super::error::Error;
use super::retry::RetryPolicy;
#[cfg(feature = "tls")]
use super::tls::Encryption;
use super::transport::{Ask, Transport};
use super::write_options::WriteOptions;

/// A server that accepts no connection within this time counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the server's own limits, so that its refusal comes and not a broken connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server, the order service or the inventory; `trackops dev` is both. Cheap to clone; clones
/// share connections. It follows no redirections and uses no proxy of the environment.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
}

/// How a [`Client`] is set up.
#[derive(Clone)]
pub struct ClientBuilder {
    url: String,
    retry: RetryPolicy,
    connect_timeout: Duration,
    timeout: Duration,
    credential: Option<String>,
    #[cfg(feature = "tls")]
    authorities: Option<Vec<u8>>,
}

impl fmt::Debug for ClientBuilder {
    /// Without the credential, and without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("retry", &self.retry)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `url`, `http://HOST:PORT` or `https://HOST:PORT` perhaps with a path, with the
    /// settings of [`Client::builder`]. Connects at the first call.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// The same with other settings: [`RetryPolicy::standard`], 5 s for a connection and 30 s for an attempt
    /// unless changed.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            retry: RetryPolicy::default(),
            connect_timeout: CONNECT_TIMEOUT,
            timeout: REQUEST_TIMEOUT,
            credential: None,
            #[cfg(feature = "tls")]
            authorities: None,
        }
    }

    /// The server's URL, without user and password.
    pub fn url(&self) -> &str {
        self.transport.address().shown()
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The address of `segments`.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        self.transport.address().join(segments)
    }

    /// Reads `url`.
    pub(crate) async fn read<T: DeserializeOwned>(&self, url: Url) -> Result<Answer<T>, Error> {
        self.transport.ask_json(Ask::get(url)).await
    }

    /// Sends a mutation.
    pub(crate) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
        options: &WriteOptions,
    ) -> Result<Answer<T>, Error> {
        let ask = Ask::write(method, url, json(body)?, options);
        self.transport.ask_json(ask).await
    }

    /// Sends a mutation whose answer has no body.
    pub(crate) async fn tell(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
        options: &WriteOptions,
    ) -> Result<Answer<()>, Error> {
        let ask = Ask::write(method, url, json(body)?, options);
        self.transport.ask(ask).await
    }
}

impl ClientBuilder {
    /// When calls are tried again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The longest time until a connection is made.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// The longest time of one attempt, from its connection to the end of its answer.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sends this API key or access token with every request, in place of a user and password of the URL.
    #[must_use]
    pub fn credential(mut self, credential: impl Into<String>) -> Self {
        self.credential = Some(credential.into());
        self
    }

    /// Trusts the authorities of this PEM text at `https://`, and no others; those of the system unless set.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trust_only(mut self, authorities: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(authorities.into());
        self
    }

    /// The client. Fails with [`Error::Usage`] if the URL is none of a server, if the credential can't be sent, or
    /// if there is no authority to trust.
    pub fn build(self) -> Result<Client, Error> {
        let mut address = ServerAddress::parse(&self.url)?;
        if let Some(credential) = &self.credential {
            address.bear(credential)?;
        }
        let dialer = Dialer::new(self.connect_timeout);
        #[cfg(feature = "tls")]
        let dialer = if address.is_encrypted() {
            let authorities = self.authorities.as_deref();
            dialer.encrypted(Encryption::new(authorities, self.connect_timeout)?)
        } else {
            dialer
        };
        let transport = Transport::new(address, dialer, self.retry, self.timeout);
        Ok(Client {
            transport: Arc::new(transport),
        })
    }
}

/// The JSON of a body.
fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| Error::Usage(format!("the body is no JSON: {error}")))
}
