//! Authorities, the certificates that they sign, and the files and connections with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::link::{LINK_NAME, LinkTls, LinkTrust, TlsFiles};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in PEM.
pub struct Signed {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Signed {
            cert: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// As a replica has it.
    pub fn replica(&self) -> Signed {
        self.sign(LINK_NAME, |_| {})
    }

    pub fn expired(&self) -> Signed {
        self.sign(LINK_NAME, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    pub fn only_for(&self, purpose: ExtendedKeyUsagePurpose) -> Signed {
        self.sign(LINK_NAME, |params| {
            params.extended_key_usages = vec![purpose];
        })
    }

    /// What a replica of this authority goes by.
    pub fn trust(&self) -> LinkTrust {
        LinkTrust::Tls(self.tls())
    }

    pub fn tls(&self) -> Arc<LinkTls> {
        let folder = Folder::new();
        LinkTls::load(folder.files(&self.replica(), &self.pem())).unwrap()
    }
}

impl Signed {
    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (vec![cert], key)
    }
}

/// A folder of its own, gone with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trackops-link-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes all three.
    pub fn files(&self, signed: &Signed, authorities: &str) -> TlsFiles {
        let files = TlsFiles {
            cert: self.0.join("cert.pem"),
            key: self.0.join("key.pem"),
            ca: self.0.join("ca.pem"),
        };
        write(&files.cert, &signed.cert);
        write(&files.key, &signed.key);
        write(&files.ca, authorities);
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// A client that shows `signed`, or nothing.
pub fn client(authority: &Authority, signed: Option<&Signed>) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(authority));
    match signed {
        Some(signed) => {
            let (chain, key) = signed.der();
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    }
}

pub fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    roots
}

/// A server that shows `signed` and asks for nothing.
pub fn server(signed: &Signed) -> ServerConfig {
    let (chain, key) = signed.der();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}
