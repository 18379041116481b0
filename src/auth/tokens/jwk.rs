//! The public keys of an issuer (RFC 7517, 7518, 8037), and signatures by them. What can't sign a token that is taken is
//! left out: keys for encryption, shared secrets, weak RSA keys, unknown curves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;

use super::compact::Compact;
use crate::config::TokenAlgorithm;

/// Keys of one issuer. A set with more is taken for no set of keys.
const KEYS_MAX: usize = 100;

/// The bits of an RSA key.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The keys of an issuer.
pub struct KeySet(Vec<PublicKey>);

struct PublicKey {
    kid: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<TokenAlgorithm>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set; `None` for what is none.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let set: Jwks = serde_json::from_slice(json).ok()?;
        if set.keys.len() > KEYS_MAX {
            return None;
        }
        let keys = set.keys.into_iter();
        let keys = keys.filter_map(|key| PublicKey::of(serde_json::from_value(key).ok()?));
        Some(Self(keys.collect()))
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `token` is signed by the key that it names; `None` if there is no such key for its algorithm. A token that
    /// names none has to be signed by the only key for its algorithm.
    pub fn has_signed(&self, token: &Compact<'_>) -> Option<bool> {
        let is_named = |key: &PublicKey| token.kid.is_none() || key.kid == token.kid;
        let keys = self.0.iter();
        let fitting = keys.filter(|key| is_named(key) && key.is_for(token.algorithm));
        let fitting: Vec<_> = fitting.collect();
        let is_clear = !fitting.is_empty() && (token.kid.is_some() || fitting.len() == 1);
        is_clear.then(|| fitting.iter().any(|key| key.has_signed(token)))
    }
}

impl PublicKey {
    fn of(jwk: Jwk) -> Option<Self> {
        let is_for_signatures = jwk.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !is_for_signatures {
            return None;
        }
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => rsa(&jwk)?,
            ("EC", Some("P-256")) => Material::P256(point(&jwk, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&jwk, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(field(jwk.x.as_ref(), 32)?),
            _ => return None,
        };
        // A key for an algorithm that isn't known isn't for one that is.
        let algorithm = match jwk.alg.as_deref() {
            Some(name) => Some(TokenAlgorithm::parse(name)?),
            None => None,
        };
        Some(Self {
            kid: jwk.kid,
            algorithm,
            material,
        })
    }

    fn is_for(&self, algorithm: TokenAlgorithm) -> bool {
        let is_named = self.algorithm.is_none_or(|named| named == algorithm);
        let is_fit = match self.material {
            Material::Rsa { .. } => of_rsa(algorithm).is_some(),
            Material::P256(_) => algorithm == TokenAlgorithm::Es256,
            Material::P384(_) => algorithm == TokenAlgorithm::Es384,
            Material::Ed25519(_) => algorithm == TokenAlgorithm::EdDsa,
        };
        is_named && is_fit
    }

    fn has_signed(&self, token: &Compact<'_>) -> bool {
        let (signed, signature) = (token.signed, &token.signature);
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            let key = UnparsedPublicKey::new(algorithm, key);
            key.verify(signed, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { n, e } => of_rsa(token.algorithm).is_some_and(|algorithm| {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(algorithm, signed, signature).is_ok()
            }),
            Material::P256(key) => by(&ECDSA_P256_SHA256_FIXED, key),
            Material::P384(key) => by(&ECDSA_P384_SHA384_FIXED, key),
            Material::Ed25519(key) => by(&ED25519, key),
        }
    }
}

const fn of_rsa(algorithm: TokenAlgorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        TokenAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        TokenAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        TokenAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        TokenAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        TokenAlgorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        TokenAlgorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        TokenAlgorithm::Es256 | TokenAlgorithm::Es384 | TokenAlgorithm::EdDsa => return None,
    })
}

/// Modulus and exponent without leading zeros.
fn rsa(jwk: &Jwk) -> Option<Material> {
    let number = |field: Option<&String>| {
        let bytes = URL_SAFE_NO_PAD.decode(field?).ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(bytes[zeros..].to_vec())
    };
    let (n, e) = (number(jwk.n.as_ref())?, number(jwk.e.as_ref())?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    RSA_BITS.contains(&bits).then_some(Material::Rsa { n, e })
}

/// A point of a curve, uncompressed (SEC 1, 2.3.3).
fn point(jwk: &Jwk, bytes: usize) -> Option<Vec<u8>> {
    let (x, y) = (field(jwk.x.as_ref(), bytes)?, field(jwk.y.as_ref(), bytes)?);
    Some([&[4], x.as_slice(), &y].concat())
}

fn field(text: Option<&String>, bytes: usize) -> Option<Vec<u8>> {
    let decoded = URL_SAFE_NO_PAD.decode(text?).ok()?;
    (decoded.len() == bytes).then_some(decoded)
}
