//! Tests of files of certificates that change while links are there.

use std::time::Duration;

use super::certificates::{Authority, Folder, write};
use super::support::{Node, bytes, settings, soon, trusting};
use super::tls::{Logged, of, trouble};
use crate::link::{LinkSettings, LinkTls, LinkTrust, Links as _, Peer};

/// A replica that looks at its files at once.
async fn watching(name: &str, tls: std::sync::Arc<LinkTls>) -> Node {
    let often = LinkSettings {
        certificates_every: Duration::from_millis(5),
        ..settings()
    };
    trusting(name, 1, "127.0.0.1:0", LinkTrust::Tls(tls), often).await
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let holding = async {
        while !holds().await {
            // The files are looked at by time.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(10), holding).await;
    assert!(held.is_ok(), "{what}");
}

async fn answers(from: &Node, to: &Peer) -> bool {
    from.links.call(to, bytes("x"), soon()).await.is_ok()
}

#[tokio::test]
async fn new_files_count_for_the_next_connection_and_the_present_ones_go_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let both = [old.pem(), new.pem()].concat();
    let folder = Folder::new();
    let files = folder.files(&old.replica(), &old.pem());
    let b = watching("b", LinkTls::load(files.clone()).unwrap()).await;
    let before = of("before", old.trust()).await;
    assert!(answers(&before, &b.peer).await);

    // Its authorities change: who has a certificate of the new one is taken.
    let trusts_both = Folder::new();
    let trusts_both = LinkTls::load(trusts_both.files(&new.replica(), &both)).unwrap();
    let next = of("next", LinkTrust::Tls(trusts_both)).await;
    trouble(&next, &b.peer).await;
    write(&files.ca, &both);
    until("the new authority counts", async || {
        answers(&next, &b.peer).await
    })
    .await;

    // Its own certificate changes, too: who knows only the new authority reaches it.
    let last = of("last", new.trust()).await;
    trouble(&last, &b.peer).await;
    let renewed = new.replica();
    write(&files.cert, &renewed.cert);
    write(&files.key, &renewed.key);
    until("the new certificate counts", async || {
        answers(&last, &b.peer).await
    })
    .await;

    assert!(answers(&before, &b.peer).await);
    assert!(b.script.logged("disconnected").is_empty());
}

#[tokio::test]
async fn the_last_usable_files_count_while_the_new_ones_are_broken() {
    let (logged, _guard) = Logged::start();
    let authority = Authority::new("ours");
    let folder = Folder::new();
    let good = authority.replica();
    let files = folder.files(&good, &authority.pem());
    let b = watching("b", LinkTls::load(files.clone()).unwrap()).await;
    let count = |text: &str| logged.text().matches(text).count();

    write(&files.key, "-----BEGIN PRIVATE KEY-----\nhunter2\n");
    until("it is told", async || count("the new one is unusable") > 0).await;
    // Long enough for many more looks.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(count("the new one is unusable"), 1);
    assert_eq!(count("hunter2"), 0);
    let a = of("a", authority.trust()).await;
    assert!(answers(&a, &b.peer).await);

    write(&files.key, &good.key);
    until("the end of it is told", async || count("are as before") > 0).await;
    let renewed = authority.replica();
    write(&files.cert, &renewed.cert);
    write(&files.key, &renewed.key);
    until("the new one is taken", async || {
        count("links use the new certificate") > 0
    })
    .await;
}
