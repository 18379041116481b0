//! The server that a command talks to: a client of it, and its failures in words for the person at the terminal.

use secrecy::ExposeSecret as _;
use trackops_client::{Admin, Client, Error, RetryPolicy};

use super::failure::CliError;
use super::problem::cleaned;
use super::program;
use super::target::{Credential, Target, Trust};
use super::text::printable;

/// What rustls says of a certificate whose authority isn't trusted, or isn't the one of that name.
const STRANGERS: [&str; 2] = ["UnknownIssuer", "BadSignature"];
const CA_HINT: &str = "name a PEM file with its authority by --ca";

/// A server, by a client of its public or its management address.
pub struct Server<C> {
    /// Makes the calls. It tries none again: the person decides that.
    pub client: C,
    /// What to do if nothing listens there.
    hint: String,
}

impl Server<Client> {
    /// The order service.
    pub fn orders(target: &Target) -> Result<Self, CliError> {
        let hint = format!(
            "start it with `{} dev --demo`, or name another server with --url",
            program::path()
        );
        let client = client(&target.url, &target.trust, &target.credential)?;
        Ok(Self { client, hint })
    }
}

impl Server<Admin> {
    /// A management address.
    pub fn management(url: &str, trust: &Trust, credential: &Credential) -> Result<Self, CliError> {
        let hint = "name the management address with --management-url \
            (of `trackops dev` it is the public one, http://127.0.0.1:8080, unless management_listen is set)";
        Ok(Self {
            client: Admin::from(client(url, trust, credential)?),
            hint: hint.into(),
        })
    }
}

impl<C> Server<C> {
    /// What `call` gives.
    pub async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, CliError> {
        call.await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Error) -> CliError {
        let mut failure = failure(error);
        if let CliError::Unreachable { hint, cause, .. } = &mut failure {
            let is_stranger = STRANGERS.iter().any(|words| cause.contains(words));
            *hint = if is_stranger { CA_HINT } else { &self.hint }.into();
        }
        failure
    }
}

fn client(url: &str, trust: &Trust, credential: &Credential) -> Result<Client, CliError> {
    let mut client = Client::builder(url).retry(RetryPolicy::none());
    // Without encryption nobody has to be trusted, so a file that isn't there does no harm.
    if let Some(file) = trust.ca.as_ref().filter(|_| url.starts_with("https:")) {
        let read = std::fs::read(file);
        client = client.trust_only(read.map_err(|source| CliError::Input {
            name: file.display().to_string(),
            source,
        })?);
    }
    if let Some(credential) = credential.read()? {
        client = client.credential(credential.expose_secret());
    }
    client.build().map_err(failure)
}

/// The failure without a hint.
pub fn failure(error: Error) -> CliError {
    match error {
        Error::Usage(message) => CliError::Usage(message),
        Error::NoAnswer {
            url,
            was_sent: false,
            cause,
        } => CliError::Unreachable {
            url,
            cause,
            hint: String::new(),
        },
        Error::NoAnswer { url, cause, .. } => CliError::NoAnswer { url, cause },
        Error::Refused(problem) => CliError::Refused(Box::new(cleaned(*problem))),
        Error::Foreign {
            url,
            status,
            excerpt,
            ..
        } => CliError::Foreign {
            url,
            status,
            excerpt: printable(&excerpt),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn orders(url: &str) -> Result<Server<Client>, CliError> {
        Server::orders(&Target {
            url: url.into(),
            trust: Trust::default(),
            credential: Credential::default(),
        })
    }

    #[tokio::test]
    async fn a_password_in_the_url_is_not_shown() {
        for url in ["u:hunter2@h", "ftp://u:hunter2@h", "http://u:hunter2@h:x"] {
            let refused = orders(url).err().expect("no URL of ours").report();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let server = orders("http://u:hunter2@127.0.0.1:1").expect("a URL");
        assert_eq!(server.client.url(), "http://127.0.0.1:1");
        let failed = server.ask(server.client.order(Uuid::nil())).await;
        let report = failed.expect_err("nobody listens").report();
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[tokio::test]
    async fn a_closed_port_says_what_to_start() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let server = orders(&format!("http://{address}")).expect("a URL");
        let error = server.ask(server.client.order(Uuid::nil())).await;
        let report = error.expect_err("nobody listens").report();
        assert!(!report.contains('\n'), "{report}");
        assert!(report.contains("connection refused"), "{report}");
        assert!(report.contains("dev --demo"), "{report}");
    }
}
