//! Documents of an issuer over a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackops::auth::Refusal;
use trackops::auth::tokens::AccessTokens;
use trackops::auth::tokens::https::HttpsSource;
use trackops::auth::tokens::source::{DocumentSource as _, FetchError};
use trackops::config::oidc;

use super::super::support::LeapingClock;
use super::issuer::claims;
use super::signing_key::SigningKey;

async fn serve(routes: impl FnOnce(SocketAddr) -> Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let routes = routes(address);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

async fn fetched(url: &str) -> Result<usize, FetchError> {
    let source = HttpsSource::new().expect("TLS");
    let document = source.get(&url.parse().expect("a URL")).await?;
    Ok(document.body.len())
}

#[tokio::test]
async fn a_token_is_verified_with_keys_from_the_network() {
    let key = SigningKey::p256("k");
    let keys = json!({"keys": [key.jwk()]}).to_string();
    let issuer = serve(|address| {
        let discovery = json!({
            "issuer": format!("http://{address}"),
            "jwks_uri": format!("http://{address}/keys?v=1"),
        });
        let discovery = discovery.to_string();
        Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(|| async { discovery }),
            )
            .route("/keys", get(|| async { keys }))
    })
    .await;
    let issuers = oidc::parse(&format!("{issuer} audience=trackops")).expect("valid");
    let source = Arc::new(HttpsSource::new().expect("TLS"));
    let clock = Arc::new(LeapingClock::default());
    let tokens = AccessTokens::new(issuers, &(source as _), clock);
    tokens.keep_fresh(&CancellationToken::new());
    let mut claims = claims(tokens.now().0 / 1_000);
    claims["iss"] = json!(issuer);
    let proven = tokens.identify(&key.token("ES256", &claims)).await;
    let proven = proven.map(|proven| proven.caller.audited().into_owned());
    assert_eq!(proven, Ok(format!("service:ann ({issuer})")));
}

#[tokio::test]
async fn neither_redirects_nor_large_answers_are_taken() {
    let large = "a".repeat(256 * 1024 + 1);
    let site = serve(|_| {
        Router::new()
            .route("/large", get(|| async { large }))
            .route("/fits", get(|| async { "a".repeat(256 * 1024) }))
            .route("/moved", get(|| async { Redirect::temporary("/fits") }))
            .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
    })
    .await;
    assert_eq!(
        fetched(&format!("{site}/fits")).await.ok(),
        Some(256 * 1024)
    );
    for (path, outcome) in [
        ("large", "unreachable"),
        ("moved", "status"),
        ("broken", "status"),
    ] {
        let error = fetched(&format!("{site}/{path}")).await.expect_err(path);
        assert_eq!(error.as_str(), outcome, "{error}");
    }
    // TLS to somebody who speaks none.
    let encrypted = format!("{}/fits", site.replace("http://", "https://"));
    let error = fetched(&encrypted).await.expect_err("no TLS");
    assert_eq!(error.as_str(), "unreachable", "{error}");
}

#[tokio::test]
async fn nobody_waits_long_for_an_issuer_that_hangs() {
    let issuer = serve(|_| Router::new().fallback(std::future::pending::<()>)).await;
    let issuers = oidc::parse(&format!("{issuer} audience=trackops")).expect("valid");
    let source = Arc::new(HttpsSource::new().expect("TLS"));
    let clock = Arc::new(LeapingClock::default());
    let tokens = AccessTokens::new(issuers, &(source as _), clock);
    tokens.keep_fresh(&CancellationToken::new());
    let key = SigningKey::p256("k");
    let mut claims = claims(tokens.now().0 / 1_000);
    claims["iss"] = json!(issuer);
    let begun = Instant::now();
    let refused = tokens.identify(&key.token("ES256", &claims)).await;
    let refused = refused.map(|proven| proven.caller);
    assert_eq!(refused, Err(Refusal::IssuerAway));
    assert!(begun.elapsed() < Duration::from_secs(10), "{begun:?}");
}
