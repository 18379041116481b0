//! `certificates`: an authority and the certificates that it signs for the links of replicas, for trials on
//! one machine. The authority's key is not kept: nobody can sign another one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The DNS name that every replica's certificate must have.
const LINK_NAME: &str = "trackops-link";

/// For whom, and where to.
#[derive(Args)]
pub struct CertificateArguments {
    /// The folder for `links-ca.pem`, and for each replica `NAME-link-cert.pem` and `NAME-link-key.pem`.
    #[arg(long)]
    dir: PathBuf,
    /// A replica. May be repeated.
    #[arg(long = "replica", value_name = "NAME", required = true)]
    replicas: Vec<String>,
}

/// Writes the files; those of an earlier run are replaced.
pub fn run(arguments: &CertificateArguments) -> Result<()> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "the links of a trial cluster");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write(&arguments.dir.join("links-ca.pem"), &authority.pem())?;
    for replica in &arguments.replicas {
        let mut params = CertificateParams::new(vec![LINK_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, replica);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        let file = |what: &str| arguments.dir.join(format!("{replica}-link-{what}.pem"));
        write(&file("cert"), &certificate.pem())?;
        write(&file("key"), &key.serialize_pem())?;
    }
    Ok(())
}

/// Nobody else may read it, also while it is written.
fn write(path: &Path, text: &str) -> Result<()> {
    if path.exists() {
        fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_replica_has_files_that_nobody_else_reads() {
        let dir = std::env::temp_dir().join(format!("trackops-certs-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let replicas = vec!["order-a".to_owned(), "order-b".to_owned()];
        let arguments = CertificateArguments {
            dir: dir.clone(),
            replicas,
        };
        run(&arguments).expect("the first time");
        let key = dir.join("order-b-link-key.pem");
        let first = fs::read_to_string(&key).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changed");
        run(&arguments).expect("again");
        assert_ne!(fs::read_to_string(&key).expect("a key"), first);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).expect("the folder") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
            names.push(entry.file_name().into_string().expect("a name"));
        }
        names.sort();
        let expected = [
            "links-ca.pem",
            "order-a-link-cert.pem",
            "order-a-link-key.pem",
            "order-b-link-cert.pem",
            "order-b-link-key.pem",
        ];
        assert_eq!(names, expected);
        fs::remove_dir_all(&dir).expect("clean up");
    }
}
