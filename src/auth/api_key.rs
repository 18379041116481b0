//! API keys: `tk_<id>_<secret>`. The id is public and finds the key. The secret has 256 random bits, of which a
//! MAC is stored. So whoever reads the database can't use the keys, and no slow hash is needed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;
use trackops_domain::access::{Caller, KEY_ISSUER, Principal, Role, Subject};
use trackops_domain::time::Timestamp;

use super::refusal::Refusal;
use crate::model::access::ApiKey;

/// With what every key begins, and no access token.
pub(super) const PREFIX: &str = "tk_";

/// Hexadecimal digits.
pub const ID_CHARS: usize = 16;

/// Base64url of 32 bytes.
const SECRET_CHARS: usize = 43;

/// What a new key is for.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its holder.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who makes it.
    pub created_by: String,
    /// From when on it isn't valid any more.
    pub expires_at: Option<Timestamp>,
}

/// A new key, and its text, which is shown once and kept nowhere.
pub fn create(new: NewKey, now: Timestamp) -> (ApiKey, SecretString) {
    let id = format!("{:016x}", rand::random::<u64>());
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let salt = rand::random();
    let key = ApiKey {
        mac: mac(&salt, &secret).finalize().into_bytes().into(),
        salt,
        name: new.name,
        role: new.role,
        created_at: now,
        created_by: new.created_by,
        expires_at: new.expires_at,
        revoked_at: None,
        id,
    };
    let text = format!("{PREFIX}{}_{secret}", key.id).into();
    (key, text)
}

/// A key as its holder sends it. It has no `Debug`, which would show the secret.
pub struct Presented<'a> {
    /// Which key.
    pub id: &'a str,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    /// Reads `tk_<id>_<secret>`; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_secret = secret.len() == SECRET_CHARS && secret.is_ascii();
        (is_id(id) && is_secret).then_some(Self { id, secret })
    }

    /// Whether this is the stored `key`, and it is valid at `now`. The secret is compared in constant time, and
    /// before anything else is told of the key.
    pub fn check(&self, key: &ApiKey, now: Timestamp) -> Result<(), Refusal> {
        mac(&key.salt, self.secret)
            .verify_slice(&key.mac)
            .map_err(|_| Refusal::Unknown)?;
        if key.revoked_at.is_some() {
            return Err(Refusal::Revoked);
        }
        if key.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::Expired);
        }
        Ok(())
    }
}

/// Whose key it is.
pub fn holder(key: &ApiKey) -> Caller {
    let subject = Subject {
        issuer: KEY_ISSUER.into(),
        name: key.name.as_str().into(),
    };
    Principal::new(subject, key.role.clone()).into()
}

/// Whether `text` can be a key's id.
pub fn is_id(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == ID_CHARS && text.bytes().all(is_hex)
}

fn mac(salt: &[u8; 16], secret: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(salt).expect("a key of any length");
    mac.chain_update(secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn made(expires_at: Option<Timestamp>) -> (ApiKey, String) {
        let new = NewKey {
            name: "till".into(),
            role: Role::Service,
            created_by: "test".into(),
            expires_at,
        };
        let (key, text) = create(new, Timestamp(1_000));
        (key, text.expose_secret().to_owned())
    }

    fn checked(key: &ApiKey, text: &str, now: i64) -> Result<String, Refusal> {
        let presented = Presented::parse(text).ok_or(Refusal::NoKey)?;
        presented.check(key, Timestamp(now))?;
        Ok(holder(key).by().to_string())
    }

    #[test]
    fn a_key_proves_its_holder_until_it_ends() {
        let (mut key, text) = made(Some(Timestamp(5_000)));
        assert_eq!(checked(&key, &text, 4_999), Ok("service:till".into()));
        assert_eq!(checked(&key, &text, 5_000), Err(Refusal::Expired));
        key.revoked_at = Some(Timestamp(2_000));
        assert_eq!(checked(&key, &text, 4_999), Err(Refusal::Revoked));
    }

    #[test]
    fn another_secret_tells_nothing_of_the_key() {
        let (mut key, text) = made(None);
        let (_, other) = made(None);
        let secret = other.rsplit_once('_').map(|_| &other[20..]).expect("a key");
        let forged = format!("{}{secret}", &text[..20]);
        key.revoked_at = Some(Timestamp(2_000));
        assert_eq!(checked(&key, &forged, 3_000), Err(Refusal::Unknown));
    }

    #[test]
    fn what_is_no_key_is_refused_unread() {
        let (_, text) = made(None);
        for wrong in [
            "",
            "tk_",
            "tk_0123456789abcdef_",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}x"),
            &text.to_uppercase(),
            &text.replace("tk_", "tk-"),
        ] {
            assert!(Presented::parse(wrong).is_none(), "{wrong}");
        }
    }
}
