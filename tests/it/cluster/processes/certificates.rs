//! A cluster whose links go over from the shared secret to certificates, replica by replica.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use super::rolling::stop;
use crate::support::bodies::order;
use crate::support::role::Role;

/// Writes the files of one replica, and gives the variables that name them.
fn files(
    folder: &Path,
    name: &str,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Vec<(String, String)> {
    let params = CertificateParams::new(["trackops-link".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("signed");
    let texts = [
        ("CERT", certificate.pem()),
        ("KEY", key.serialize_pem()),
        ("CA", authority.pem()),
    ];
    let written = texts.map(|(what, text)| {
        let path = folder.join(format!("{name}-{what}.pem"));
        std::fs::write(&path, text).expect("written");
        let path = path.display().to_string();
        (format!("TRACKOPS_LINK_TLS_{what}"), path)
    });
    written.into()
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// Starts a replica again with more variables.
async fn again(fleet: &mut Fleet, number: usize, more: Vec<(String, String)>) {
    stop(fleet, number).await;
    fleet.replica(number).launch.environment.extend(more);
    fleet.replica(number).restart(None).await;
    fleet.balanced(2).await;
}

#[tokio::test]
async fn a_cluster_goes_over_to_certificates_and_every_order_stays_reachable() {
    let mut fleet = Fleet::start(2, Plan::usual_lease()).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    let authority = authority();
    let folder = fleet.replica(0).launch.folder.clone();

    for number in [0, 1] {
        let more = files(&folder, &fleet.node(number), &authority);
        again(&mut fleet, number, more).await;
        watched.clients.more(30).await;
    }
    for number in [0, 1] {
        let without = vec![("TRACKOPS_LINK_SECRET".to_owned(), String::new())];
        again(&mut fleet, number, without).await;
        watched.clients.more(30).await;
    }
    for number in [0, 1] {
        let log = fleet.replica(number).log();
        let last = log.lines().rfind(|line| line.contains("link is up"));
        assert!(last.is_some_and(|line| line.contains("tls=true")), "{log}");
        let management = fleet.management(number);
        let metrics = fleet.deployment.client.metrics(&management).await;
        let metrics = metrics.expect("metrics");
        let expires = "\ntrackops_link_certificate_expires_seconds 6";
        assert!(metrics.contains(expires), "{metrics}");
    }

    // One that has the secret only is reached by nobody and gets nothing.
    let secret = "0123456789abcdef0123456789abcdef".into();
    let mut late = Role::spawn(fleet.launch(
        "order-late",
        vec![
            ("TRACKOPS_LINK_LISTEN", "127.0.0.1:0".into()),
            ("TRACKOPS_LINK_SECRET", secret),
        ],
    ));
    let refused = "error=no TLS: the other end doesn't speak it";
    fleet.replica(0).says(refused).await;
    fleet.balanced(2).await;
    late.kill();
    fleet.balanced(2).await;

    let client = fleet.deployment.client.clone();
    let id = client.place(&order(), None).await.expect(201).id();
    let elsewhere = client.of_order(&fleet.url(1));
    elsewhere.reaches(id, "CONFIRMED").await;
    watched.finish(&mut fleet).await;
}
