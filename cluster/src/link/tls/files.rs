//! The files of a certificate: reading them within a bound. Leaves what is in them to [`super::identity`].

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

use super::error::TlsError;

/// The most bytes of one file: some hundred certificates.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Three PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// This replica's certificate, then those between it and the authority.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authorities whose certificates are taken.
    pub ca: PathBuf,
}

/// What the files said at one time.
pub(super) struct Texts {
    pub cert: Vec<u8>,
    pub key: SecretSlice<u8>,
    pub ca: Vec<u8>,
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<Texts, TlsError> {
        Ok(Texts {
            cert: read(&self.cert)?,
            key: read(&self.key)?.into(),
            ca: read(&self.ca)?,
        })
    }
}

impl Texts {
    /// Differs if any of the texts does.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for text in [&self.cert, self.key.expose_secret(), &self.ca] {
            digest.update(Sha256::digest(text));
        }
        digest.finalize().into()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    let mut bounded = file.take(FILE_BYTES_MAX as u64 + 1);
    bounded.read_to_end(&mut text).map_err(failed)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge {
            path: path.to_owned(),
            bytes_max: FILE_BYTES_MAX,
        });
    }
    Ok(text)
}
