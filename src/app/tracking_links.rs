//! The keys of tracking links: the configured ones, or one that `dev` makes for itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::auth::tracking_links::TrackingLinks;
use crate::config::{AccessConfig, TrackingKey, tracking_keys};
use crate::ports::clock::Clock;

/// The file in the data directory of `dev` with its own key, in the form of the configuration's.
const FILE: &str = "tracking-key";

/// The links of a role. All its replicas have to know the same keys, so it makes none.
pub(super) fn of_role(
    config: &AccessConfig,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<TrackingLinks> {
    let keys = configured(config)?;
    if keys.is_empty() {
        tracing::info!("no tracking_keys: orders have no tracking links");
    }
    Ok(links(config, &keys, clock))
}

/// The links of `dev`, whose data directory is this process's alone. What it has given out goes on working after a
/// restart.
pub(super) fn of_dev(
    config: &AccessConfig,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<TrackingLinks> {
    let mut keys = configured(config)?;
    if keys.is_empty() {
        let path = data_dir.join(FILE);
        keys = kept(&path)
            .with_context(|| format!("the key of tracking links, {}", path.display()))?;
    }
    Ok(links(config, &keys, clock))
}

fn links(config: &AccessConfig, keys: &[TrackingKey], clock: Arc<dyn Clock>) -> TrackingLinks {
    TrackingLinks::new(keys, &config.tracking_base_url, clock)
}

fn configured(config: &AccessConfig) -> anyhow::Result<Vec<TrackingKey>> {
    tracking_keys::parse(&config.tracking_keys).context("tracking_keys has another form")
}

/// The key in the file `path`, which is made if it isn't there.
fn kept(path: &Path) -> anyhow::Result<Vec<TrackingKey>> {
    let text: SecretString = match fs::read_to_string(path) {
        Ok(text) => text.trim_end().into(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(error.into()),
    };
    let keys = tracking_keys::parse(&text).filter(|keys| !keys.is_empty());
    keys.context("holds no key: remove it, and links that were made by it end")
}

fn make(path: &Path) -> anyhow::Result<SecretString> {
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let text = SecretString::from(format!("dev:{secret}"));
    // A file that is there is whole.
    let draft = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    writeln!(file, "{}", text.expose_secret())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use trackops_domain::ids::OrderId;
    use xtask::servers::Scratch;

    use super::*;
    use crate::config::{Config, Flags};
    use crate::ports::clock::SystemClock;

    #[test]
    fn a_link_of_dev_outlives_a_restart() {
        let dir = Scratch::new("links").expect("a folder");
        let config = Config::load(None, &Flags::default()).expect("defaults are valid");
        let order = OrderId(uuid::Uuid::from_u128(7));
        let url = || {
            let links = of_dev(&config.access, dir.path(), Arc::new(SystemClock));
            links.map(|links| links.url(order).expect("a link"))
        };
        let first = url().expect("a key is made");
        assert!(first.starts_with("/track/"), "{first}");
        assert_eq!(url().expect("the key is read"), first);
        let path = dir.path().join(FILE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let kept = fs::read_to_string(&path).expect("is there");
        fs::write(&path, "dev:short").expect("is written");
        let error = format!("{:#}", url().expect_err("no key"));
        assert!(error.contains("tracking-key"), "{error}");
        fs::remove_file(&path).expect("is removed");
        assert_ne!(url().expect("another key"), first);
        fs::write(&path, kept).expect("is written");
        assert_eq!(url().expect("the first key"), first);
    }
}
