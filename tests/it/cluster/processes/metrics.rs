//! What dashboards see of a cluster.

use reqwest::Method;
use tokio::task::JoinSet;

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::environment::free_port;
use crate::support::wait::until;

/// The sum over all labels of a metric in Prometheus' text; `None` if it isn't there.
fn sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let found = series.split('{').next()?;
        (found == name).then(|| value.parse::<f64>().expect("a number"))
    });
    values.reduce(|sum, value| sum + value)
}

impl Fleet {
    async fn scraped(&self, number: usize) -> String {
        let text = self
            .deployment
            .client
            .metrics(&self.management(number))
            .await;
        text.expect("metrics")
    }

    /// A metric of all replicas together.
    async fn total(&self, name: &str) -> f64 {
        let mut total = 0.0;
        for number in 0..self.len() {
            total += sum(&self.scraped(number).await, name).unwrap_or(0.0);
        }
        total
    }
}

/// Reads orders of every shard as fast as it goes, until it is dropped.
async fn hammer(fleet: &Fleet) -> JoinSet<()> {
    let client = fleet.deployment.client.clone();
    let mut readers = JoinSet::new();
    for _ in 0..16 {
        let id = client.place(&order(), None).await.expect(201).id();
        let client = client.clone();
        readers.spawn(async move {
            let path = format!("{}/api/v1/orders/{id}", client.to.order);
            loop {
                // A 503 is as good here.
                drop(client.send(Method::GET, &path, &[], None).await);
            }
        });
    }
    readers
}

#[tokio::test]
async fn a_move_and_a_takeover_show_in_the_metrics() {
    let mut fleet = Fleet::start(2, Plan::default()).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    let before = fleet.total("trackops_shard_claims_total").await;
    assert!(before >= 16.0, "{before} claims at the start");

    // Moves: a newcomer gets its share.
    let listen = format!("127.0.0.1:{}", free_port());
    let newcomer = fleet.launch("order-c", vec![("TRACKOPS_LINK_LISTEN", listen)]);
    fleet.start_launch(newcomer).await;
    fleet.balanced(3).await;
    watched.clients.more(20).await;
    let moves = fleet.total("trackops_shard_moves_total").await;
    assert!(moves >= 5.0, "{moves} moves");
    let handed = "trackops_shard_handoff_duration_seconds_count";
    assert!(fleet.total(handed).await >= 5.0);
    let text = fleet.scraped(0).await;
    for name in [
        "trackops_forwarded_commands_total",
        "trackops_link_calls_total",
    ] {
        assert!(
            sum(&text, name).is_some_and(|count| count > 0.0),
            "{name}:\n{text}"
        );
    }
    for peer in ["order-b", "order-c"] {
        let up = format!("trackops_link_up{{peer=\"{peer}\"}} 1");
        assert!(text.contains(&up), "{up}:\n{text}");
    }

    // A takeover.
    let claims = fleet.total("trackops_shard_claims_total").await;
    let gone = sum(&fleet.scraped(2).await, "trackops_shard_claims_total").unwrap_or(0.0);
    fleet.replica(2).kill();
    fleet.balanced(2).await;
    watched.clients.more(20).await;
    until(
        "the survivors own every shard, by their metrics",
        || async {
            let mut owned = 0.0;
            for number in 0..2 {
                let url = fleet.management(number);
                let text = fleet.deployment.client.metrics(&url).await?;
                owned += sum(&text, "trackops_shards_owned")?;
            }
            (owned > 15.5 && owned < 16.5).then_some(())
        },
    )
    .await;
    let mut after = 0.0;
    for number in 0..2 {
        let text = fleet.scraped(number).await;
        after += sum(&text, "trackops_shard_claims_total").unwrap_or(0.0);
    }
    assert!(after >= claims - gone + 5.0, "{after} claims");
    until("the link to the dead one is down", || async {
        let text = fleet
            .deployment
            .client
            .metrics(&fleet.management(0))
            .await?;
        text.contains("trackops_link_up{peer=\"order-c\"} 0")
            .then_some(())
    })
    .await;

    // Commands that come while their shard moves wait for it.
    let hammering = hammer(&fleet).await;
    for _ in 0..8 {
        fleet.replica(2).restart(None).await;
        fleet.balanced(3).await;
        if fleet.total("trackops_shard_held_seconds_count").await >= 1.0 {
            break;
        }
        fleet.replica(2).kill();
        fleet.balanced(2).await;
    }
    drop(hammering);
    let held = fleet.total("trackops_shard_held_seconds_count").await;
    assert!(held >= 1.0, "no command has waited for a move");
    watched.finish(&mut fleet).await;
}
