//! The rules for the keys of links between replicas.

use std::net::{IpAddr, SocketAddr};

use secrecy::ExposeSecret as _;

use super::error::ConfigError;
use super::values::ReplicaConfig;

/// Links without TLS don't leave the machine.
const LOOPBACK_ONLY: &str = "must be on loopback with link_secret alone: for other addresses set link_tls_cert, \
    link_tls_key and link_tls_ca (TRACKOPS_LINK_TLS_CERT, …)";

pub(super) fn check(
    replica: &ReplicaConfig,
    rule: impl Fn(bool, &'static str, &str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let files = [
        ("link_tls_cert", &replica.link_tls_cert),
        ("link_tls_key", &replica.link_tls_key),
        ("link_tls_ca", &replica.link_tls_ca),
    ];
    for (key, file) in files {
        rule(
            replica.has_link_tls() != file.is_empty(),
            key,
            "must be set: link_tls_cert, link_tls_key and link_tls_ca go together",
        )?;
    }
    let secret_bytes = replica.link_secret.expose_secret().len();
    rule(
        secret_bytes == 0 || secret_bytes >= 16,
        "link_secret",
        "must have at least 16 characters",
    )?;
    let listen = replica.link_listen.parse::<SocketAddr>();
    rule(
        listen.is_ok(),
        "link_listen",
        "must be an address such as 127.0.0.1:7080",
    )?;
    let advertised = replica.advertised_addr.as_str();
    rule(
        advertised.is_empty() || advertised.contains(':'),
        "advertised_addr",
        "must be host:port, where other replicas reach this one",
    )?;
    let is_open = replica.has_links() && !replica.has_link_tls();
    rule(
        !is_open || listen.is_ok_and(|listen| listen.ip().is_loopback()),
        "link_listen",
        LOOPBACK_ONLY,
    )?;
    rule(
        !is_open || advertised.is_empty() || is_loopback(advertised),
        "advertised_addr",
        LOOPBACK_ONLY,
    )
}

/// Whether `host:port` is on this machine whatever DNS says.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

impl ReplicaConfig {
    /// Whether links show certificates.
    pub fn has_link_tls(&self) -> bool {
        let files = [&self.link_tls_cert, &self.link_tls_key, &self.link_tls_ca];
        files.iter().any(|file| !file.is_empty())
    }

    /// Whether this replica has links to others.
    pub fn has_links(&self) -> bool {
        self.has_link_tls() || !self.link_secret.expose_secret().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::values;
    use super::super::{Config, Flags};

    const SECRET: &str = "hunter2 hunter2 hunter2";

    fn refusal(change: impl FnOnce(&mut super::ReplicaConfig)) -> Option<String> {
        let mut config = Config::load(None, &Flags::default()).expect("defaults are valid");
        change(&mut config.replica);
        let refusal = values(&config).err().map(|error| error.to_string());
        assert!(
            !refusal
                .as_ref()
                .is_some_and(|text| text.contains("hunter2"))
        );
        refusal
    }

    #[test]
    fn the_files_go_together() {
        for missing in 0..3 {
            let refusal = refusal(|replica| {
                replica.link_tls_cert = "cert.pem".into();
                replica.link_tls_key = "key.pem".into();
                replica.link_tls_ca = "ca.pem".into();
                let files = [
                    &mut replica.link_tls_cert,
                    &mut replica.link_tls_key,
                    &mut replica.link_tls_ca,
                ];
                for (number, file) in files.into_iter().enumerate() {
                    if number == missing {
                        file.clear();
                    }
                }
            });
            let key = ["link_tls_cert", "link_tls_key", "link_tls_ca"][missing];
            let refusal = refusal.expect("two of three");
            assert!(refusal.starts_with(key), "{refusal}");
        }
    }

    #[test]
    fn a_secret_without_files_is_for_loopback() {
        let at = |listen: &str, advertised: &str, has_files: bool| {
            refusal(|replica| {
                replica.link_secret = SECRET.into();
                replica.link_listen = listen.into();
                replica.advertised_addr = advertised.into();
                if has_files {
                    for file in [
                        &mut replica.link_tls_cert,
                        &mut replica.link_tls_key,
                        &mut replica.link_tls_ca,
                    ] {
                        *file = "some.pem".into();
                    }
                }
            })
        };
        for (listen, advertised) in [
            ("127.0.0.1:7080", ""),
            ("[::1]:7080", "[::1]:7081"),
            ("127.0.0.1:0", "localhost:7080"),
            ("127.0.0.1:0", "127.0.0.2:7080"),
        ] {
            assert_eq!(at(listen, advertised, false), None, "{listen} {advertised}");
        }
        for (listen, advertised, key) in [
            ("0.0.0.0:7080", "", "link_listen"),
            ("10.0.0.7:7080", "", "link_listen"),
            ("[::]:7080", "localhost:7080", "link_listen"),
            ("127.0.0.1:7080", "order-a:7080", "advertised_addr"),
            ("127.0.0.1:7080", "[fd00::7]:7080", "advertised_addr"),
        ] {
            let refusal = at(listen, advertised, false).expect(listen);
            assert!(refusal.starts_with(key), "{refusal}");
            assert!(refusal.contains("TRACKOPS_LINK_TLS_CERT"), "{refusal}");
            assert_eq!(refusal.lines().count(), 1);
            assert_eq!(at(listen, advertised, true), None, "with files");
        }
        let alone = |replica: &mut super::ReplicaConfig| replica.link_listen = "0.0.0.0:1".into();
        assert_eq!(refusal(alone), None, "no links, no listener");
    }
}
