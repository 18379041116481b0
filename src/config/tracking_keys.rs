//! The keys that sign tracking links, as `tracking_keys` has them. Leaves signing to `auth`.

use secrecy::{ExposeSecret as _, SecretString};

/// The longest name of a key. It is in every link.
const ID_BYTES_MAX: usize = 8;

/// The shortest secret.
const SECRET_CHARS_MIN: usize = 16;

/// A key that signs tracking links.
#[derive(Clone, Debug)]
pub struct TrackingKey {
    /// Its name, which every link has: 1 to 8 visible ASCII characters without `:` and `,`.
    pub id: Box<str>,
    /// Its secret.
    pub secret: SecretString,
}

/// Reads `id:secret,id:secret`; no key at all for the empty text. `None` for anything else, and for an id that
/// stands twice.
pub fn parse(text: &SecretString) -> Option<Vec<TrackingKey>> {
    let text = text.expose_secret();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut keys = Vec::<TrackingKey>::new();
    for part in text.split(',') {
        let (id, secret) = part.split_once(':')?;
        let is_id = (1..=ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
            && keys.iter().all(|known| &*known.id != id);
        if !is_id || secret.chars().count() < SECRET_CHARS_MIN {
            return None;
        }
        keys.push(TrackingKey {
            id: id.into(),
            secret: secret.into(),
        });
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Option<Vec<Box<str>>> {
        let keys = parse(&text.into())?;
        Some(keys.into_iter().map(|key| key.id).collect())
    }

    #[test]
    fn every_key_has_an_id_of_its_own_and_a_long_secret() {
        let secret = "0123456789abcde:";
        assert_eq!(ids(""), Some(Vec::new()));
        let two = format!("k2:{secret},12345678:{secret}");
        assert_eq!(ids(&two), Some(vec!["k2".into(), "12345678".into()]));
        for wrong in [
            "k2".to_owned(),
            format!("k2:{}", &secret[1..]),
            format!(":{secret}"),
            format!("123456789:{secret}"),
            format!("k 2:{secret}"),
            format!("k\u{e4}:{secret}"),
            format!("k2:{secret},"),
            format!("k2:{secret},k2:{secret}"),
        ] {
            assert_eq!(ids(&wrong), None, "{wrong}");
        }
    }
}
