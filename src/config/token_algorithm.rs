//! The algorithms by which access tokens may be signed (RFC 7518, RFC 8037). There is no other: neither `none` nor
//! one with a shared secret can be written down.

/// An asymmetric algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// RSA by PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA by PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA by PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA by PSS with SHA-256.
    Ps256,
    /// RSA by PSS with SHA-384.
    Ps384,
    /// RSA by PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    const NAMED: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// The algorithm of that name; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut named = Self::NAMED.into_iter();
        named.find_map(|(known, algorithm)| (known == name).then_some(algorithm))
    }
}
