//! The shared secret and the proofs of it. The secret itself never goes over a link.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use thiserror::Error;

/// The shortest secret allowed. An attacker at a replica's address sees one proof and can test guesses
/// against it offline, so the secret must be beyond guessing.
const SECRET_BYTES_MIN: usize = 16;

/// The secret that all replicas of a cluster share and nobody else knows.
///
/// It authenticates the two ends of a link to each other, and nothing more: the link is neither
/// encrypted nor protected against someone who can change packets on the way.
#[derive(Clone, Debug)]
pub struct LinkSecret(SecretSlice<u8>);

/// A secret of fewer than 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the link secret needs at least 16 bytes")]
pub struct SecretTooShort;

impl LinkSecret {
    /// Takes the bytes as they are, at least 16 of them.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, SecretTooShort> {
        let secret = secret.into();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretTooShort);
        }
        Ok(Self(secret.into()))
    }

    /// The proof of `end` for this one handshake.
    pub(super) fn prove(&self, end: End, handshake: &Handshake<'_>) -> [u8; 32] {
        self.mac(end, handshake).finalize().into_bytes().into()
    }

    /// Whether `proof` is the proof of `end`. Takes the same time for right and wrong proofs.
    pub(super) fn is_proven(&self, end: End, handshake: &Handshake<'_>, proof: &[u8]) -> bool {
        self.mac(end, handshake).verify_slice(proof).is_ok()
    }

    fn mac(&self, end: End, handshake: &Handshake<'_>) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("a key of any length");
        // Each part follows its length, so that no two handshakes give the same bytes.
        for part in [b"trackops link".as_slice(), end.label()] {
            absorb(&mut mac, part);
        }
        for text in [handshake.node, handshake.to_node] {
            absorb(&mut mac, text.as_bytes());
        }
        for nonce in [handshake.dialler_nonce, handshake.acceptor_nonce] {
            absorb(&mut mac, nonce);
        }
        for number in handshake.numbers {
            absorb(&mut mac, &number.to_be_bytes());
        }
        mac
    }
}

fn absorb(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

/// The end that made a proof. It goes into the proof, so that a proof can't be sent back to its maker as
/// the other end's.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Dialler,
    Acceptor,
}

impl End {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Dialler => b"dialler",
            Self::Acceptor => b"acceptor",
        }
    }
}

/// All that the two ends have said to each other before the proofs. The fields are listed one by one, so
/// that a newer version may add fields to its frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake<'a> {
    pub node: &'a str,
    pub to_node: &'a str,
    pub dialler_nonce: &'a [u8],
    pub acceptor_nonce: &'a [u8],
    /// Versions, incarnations and shard count in a fixed order.
    pub numbers: [i64; 7],
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: Handshake<'static> = Handshake {
        node: "a",
        to_node: "b",
        dialler_nonce: &[1; 32],
        acceptor_nonce: &[2; 32],
        numbers: [1, 1, 1, 1, 7, 8, 128],
    };

    fn secret(text: &str) -> LinkSecret {
        LinkSecret::new(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_proof_is_of_one_secret_one_end_and_one_handshake() {
        let ours = secret("correct horse battery");
        let proof = ours.prove(End::Dialler, &HANDSHAKE);
        assert!(ours.is_proven(End::Dialler, &HANDSHAKE, &proof));
        assert!(!ours.is_proven(End::Acceptor, &HANDSHAKE, &proof));
        let theirs = secret("incorrect horse battery");
        assert!(!theirs.is_proven(End::Dialler, &HANDSHAKE, &proof));
        let others = [
            Handshake {
                acceptor_nonce: &[3; 32],
                ..HANDSHAKE
            },
            Handshake {
                dialler_nonce: &[3; 32],
                ..HANDSHAKE
            },
            Handshake {
                node: "c",
                ..HANDSHAKE
            },
            Handshake {
                node: "ab",
                to_node: "",
                ..HANDSHAKE
            },
            Handshake {
                numbers: [1, 1, 1, 1, 7, 9, 128],
                ..HANDSHAKE
            },
        ];
        for other in others {
            assert!(!ours.is_proven(End::Dialler, &other, &proof), "{other:?}");
        }
        assert!(!ours.is_proven(End::Dialler, &HANDSHAKE, &[]));
    }

    #[test]
    fn a_secret_has_sixteen_bytes_and_is_never_printed() {
        assert_eq!(
            LinkSecret::new("fifteen bytes..").err(),
            Some(SecretTooShort)
        );
        assert!(!format!("{:?}", secret("correct horse battery")).contains("horse"));
    }
}
