//! An OIDC issuer with one Ed25519 key, which answers with its discovery document and its key set.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const AUDIENCE: &str = "trackops";

/// Longer than any benchmark.
const VALID_S: u64 = 24 * 60 * 60;

/// An issuer that answers until the process ends.
pub struct Issuer {
    /// For `oidc_issuers`.
    pub configuration: String,
    url: String,
    key: KeyPair,
}

impl Issuer {
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let x = URL_SAFE_NO_PAD.encode(key.der_bytes());
        let keys = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "bench", "x": x }
        ] });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that has gone needs no answer.
                let _ = answer(stream, &discovery, &keys).await;
            }
        });
        Ok(Self {
            configuration: format!("{url} audience={AUDIENCE} algorithms=EdDSA"),
            url,
            key,
        })
    }

    /// A token of a service.
    pub fn token(&self) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "bench" });
        let claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "bench", "iat": now, "exp": now + VALID_S,
            "trackops_role": "service",
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

async fn answer(mut stream: TcpStream, discovery: &Value, keys: &Value) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await? > 0 {}
    let body = if head.starts_with(b"GET /keys ") {
        keys
    } else {
        discovery
    }
    .to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
