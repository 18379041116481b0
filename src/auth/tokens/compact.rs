//! A signed JWT in its compact form (RFC 7515, 7519): its three parts, read strictly and not yet verified.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::auth::token_fault::TokenFault;
use crate::config::TokenAlgorithm;

/// The longest token, in bytes: as long as a credential may be.
const BYTES_MAX: usize = 8 * 1024;

/// A JSON object in which no name stands twice: two readers could take different ones (RFC 8725, 2.4).
#[derive(Default)]
pub struct Object(BTreeMap<String, Value>);

impl Object {
    /// The value of that name; `None` for `null` too.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The text of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if object.0.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// A token, not yet verified.
pub struct Compact<'a> {
    /// How it says that it is signed.
    pub algorithm: TokenAlgorithm,
    /// The name of the key by which it says that it is signed.
    pub kid: Option<String>,
    /// Whether `typ` is `JWT`, which says nothing of its kind.
    pub is_plain_jwt: bool,
    /// What it claims.
    pub claims: Object,
    /// What is signed.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Reads a token. Keys and addresses of keys in its header (`jwk`, `jku`, `x5c`, `x5u`) are ignored: whoever
    /// makes the token could put its own there.
    pub fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
        let header = object(header)?;
        if header.0.contains_key("crit") {
            return Err(TokenFault::Critical);
        }
        let algorithm = header.text("alg").and_then(TokenAlgorithm::parse);
        let algorithm = algorithm.ok_or(TokenFault::Algorithm)?;
        let kid = match header.get("kid") {
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(TokenFault::Malformed),
            None => None,
        };
        // Media types have no case, and `application/` may be left out (RFC 7515, 4.1.9).
        let media_type = header.text("typ").unwrap_or_default().to_ascii_lowercase();
        let is_plain_jwt = match media_type
            .strip_prefix("application/")
            .unwrap_or(&media_type)
        {
            "at+jwt" => false,
            "jwt" => true,
            _ => return Err(TokenFault::Kind),
        };
        Ok(Self {
            algorithm,
            kid,
            is_plain_jwt,
            claims: object(claims)?,
            signed: signed.as_bytes(),
            signature: decoded(signature)?,
        })
    }
}

fn object(part: &str) -> Result<Object, TokenFault> {
    serde_json::from_slice(&decoded(part)?).map_err(|_| TokenFault::Malformed)
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    bytes.map_err(|_| TokenFault::Malformed)
}
