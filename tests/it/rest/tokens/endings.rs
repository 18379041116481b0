//! Sessions end with their token, and go on with another of the same caller.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{advance, timeout};
use tokio_util::sync::CancellationToken;
use trackops::auth::audit::AuditLog;
use trackops::auth::key_cache::KeyCache;
use trackops::auth::{Auth, Ending, Refusal, TokenFault};
use trackops::embedded::Embedded;
use xtask::servers::Scratch;

use super::issuer::Rig;
use super::signing_key::SigningKey;

/// Everybody needs a key or a token of the issuer.
async fn auth(rig: &Rig) -> (Auth, Embedded, Scratch) {
    let dir = Scratch::new("tokens").expect("a folder");
    let store = Embedded::open(dir.path(), rig.clock.clone()).await;
    let store = store.expect("a fresh store");
    let keys = KeyCache::new(store.access(), rig.clock.clone());
    tokio::spawn(Arc::clone(&keys).keep_fresh(CancellationToken::new()));
    let audit = AuditLog::none(rig.clock.clone());
    let auth = Auth::required(keys, Some(Arc::clone(&rig.tokens)), audit);
    (auth, store, dir)
}

fn token(key: &SigningKey, rig: &Rig, seconds: i64, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = rig.claims();
    claims["exp"] = json!(rig.now() + seconds);
    change(&mut claims);
    key.token("ES256", &claims)
}

/// The reason why the session has ended, if it has within `seconds`.
async fn ends_within(ending: &mut Ending, rig: &Rig, seconds: u64) -> Option<Refusal> {
    for _ in 0..seconds {
        let at_once = timeout(Duration::from_millis(1), ending.ended()).await;
        if let Ok(refusal) = at_once {
            return Some(refusal);
        }
        rig.clock.put_forward(Duration::from_secs(1));
        advance(Duration::from_secs(1)).await;
    }
    None
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let (auth, _store, _dir) = auth(&rig).await;
    tokio::time::pause();
    let short = token(&key, &rig, 60, |_| {});
    let mut ending = Ending::of(&auth, &short).expect("a credential is needed");
    // It ends 30 s after `exp`, also while the issuer is away.
    assert_eq!(ends_within(&mut ending, &rig, 10).await, None);
    rig.issuer.set_away(true);
    assert_eq!(ends_within(&mut ending, &rig, 78).await, None);
    let ended = ends_within(&mut ending, &rig, 4).await;
    assert_eq!(ended, Some(Refusal::Token(TokenFault::Expired)));
}

#[tokio::test]
async fn a_session_goes_on_with_a_token_of_the_same_caller() {
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let (auth, _store, _dir) = auth(&rig).await;
    tokio::time::pause();
    let first = token(&key, &rig, 60, |_| {});
    let caller = auth.identify(Some(&first)).await.expect("a good token");
    let mut ending = Ending::of(&auth, &first).expect("a credential is needed");
    assert_eq!(ends_within(&mut ending, &rig, 10).await, None);
    let foreign = [
        token(&key, &rig, 600, |claims| claims["sub"] = json!("bob")),
        token(&key, &rig, 600, |claims| {
            claims["trackops_role"] = json!("viewer");
        }),
    ];
    for other in foreign {
        assert!(!ending.renew(&caller, &other).await.expect("a good token"));
    }
    let bad = token(&SigningKey::p256("x"), &rig, 600, |_| {});
    assert_eq!(
        ending.renew(&caller, &bad).await,
        Err(TokenFault::Key.into())
    );
    let second = token(&key, &rig, 600, |_| {});
    assert!(ending.renew(&caller, &second).await.expect("a good token"));
    assert_eq!(ends_within(&mut ending, &rig, 600).await, None);
    let ended = ends_within(&mut ending, &rig, 60).await;
    assert_eq!(ended, Some(Refusal::Token(TokenFault::Expired)));
}
