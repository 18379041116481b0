//! Keys of an issuer, and tokens signed by them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// A key that nobody uses but these tests: nothing here can make an RSA key.
const RSA: &[u8] = include_bytes!("../../../fixtures/oidc/test-only-rsa-2048.pem");

/// A key of an issuer.
pub struct SigningKey {
    pub kid: &'static str,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    pub fn p256(kid: &'static str) -> Self {
        let pair = Pair::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING));
        Self { kid, pair }
    }

    pub fn p384(kid: &'static str) -> Self {
        let pair = Pair::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING));
        Self { kid, pair }
    }

    pub fn ed25519(kid: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random bytes");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let pair = Pair::Ed25519(pair);
        Self { kid, pair }
    }

    pub fn rsa(kid: &'static str) -> Self {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(RSA).expect("PEM");
        let pair = RsaKeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).expect("a key");
        let pair = Pair::Rsa(pair);
        Self { kid, pair }
    }

    /// The public key, as an issuer publishes it.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::P256(pair) => point("P-256", pair),
            Pair::P384(pair) => point("P-384", pair),
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": text(&n), "e": text(&e)})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token of these claims, as its issuer makes them.
    pub fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": self.kid});
        self.signed(&header.to_string(), &claims.to_string())
    }

    /// A token of exactly these texts.
    pub fn signed(&self, header: &str, claims: &str) -> String {
        let signed = unsigned(header, claims);
        let signature = self.signature(header, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, header: &str, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                let signature = pair.sign(&random, signed).expect("signed");
                signature.as_ref().into()
            }
            Pair::Ed25519(pair) => pair.sign(signed).as_ref().into(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding(header), &random, signed, &mut signature)
                    .expect("signed");
                signature
            }
        }
    }
}

/// Header and claims of a token, encoded.
pub fn unsigned(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|text| URL_SAFE_NO_PAD.encode(text));
    format!("{header}.{claims}")
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key")
}

fn point(curve: &str, pair: &EcdsaKeyPair) -> Value {
    let bytes = &pair.public_key().as_ref()[1..];
    let (x, y) = bytes.split_at(bytes.len() / 2);
    let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    json!({"kty": "EC", "crv": curve, "x": x, "y": y})
}

fn encoding(header: &str) -> &'static dyn RsaEncoding {
    let encodings: [(&str, &'static dyn RsaEncoding); 6] = [
        ("RS256", &RSA_PKCS1_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
        ("PS384", &RSA_PSS_SHA384),
        ("PS512", &RSA_PSS_SHA512),
    ];
    let named = encodings
        .into_iter()
        .find(|(name, _)| header.contains(name));
    named.expect("an algorithm of RSA").1
}
