//! What operations sees of the cluster, and the drain.

use serde_json::json;

use super::support::Api;

const DRAIN: &str = "/admin/v1/cluster/nodes/order-b/drain";

#[tokio::test]
async fn replicas_links_and_shards_are_shown() {
    let api = Api::new().await;
    insta::assert_json_snapshot!("cluster", api.get("/admin/v1/cluster").await.json());
    let shards = api.get("/admin/v1/shards").await.json();
    insta::assert_json_snapshot!("shards", shards);
    for (number, shard) in (0..).zip(shards["items"].as_array().expect("items")) {
        let one = api.get(&format!("/admin/v1/shards/{number}")).await;
        assert_eq!(&one.json(), shard);
    }
}

#[tokio::test]
async fn a_shard_beyond_the_count_is_not_there() {
    let api = Api::new().await;
    for number in ["3", "65536", "4294967296"] {
        let path = format!("/admin/v1/shards/{number}");
        api.get(&path).await.problem(404, "shard-not-found", &path);
    }
    for number in ["-1", "one", "1.5", "0x1"] {
        let path = format!("/admin/v1/shards/{number}");
        api.get(&path)
            .await
            .problem(400, "invalid-parameter", &path);
    }
}

#[tokio::test]
async fn a_replica_is_drained_again_and_again() {
    let api = Api::new().await;
    for _ in 0..2 {
        let answer = api.json("POST", DRAIN, &json!({})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (200, json!({ "node": "order-b", "draining": true }))
        );
    }
    assert_eq!(*api.cluster.drained.lock(), ["order-b", "order-b"]);
    let none = "/admin/v1/cluster/nodes/order-z/drain";
    let answer = api.json("POST", none, &json!({})).await;
    answer.problem(404, "node-not-found", none);
    *api.cluster.away.lock() = true;
    let answer = api.json("POST", DRAIN, &json!({})).await;
    answer.problem(503, "unavailable", DRAIN);
}

#[tokio::test]
async fn before_it_has_joined_a_replica_shows_nothing() {
    let api = Api::new().await;
    *api.cluster.starting.lock() = true;
    for path in [
        "/admin/v1/cluster",
        "/admin/v1/shards",
        "/admin/v1/shards/0",
    ] {
        api.get(path).await.problem(503, "unavailable", path);
    }
    let answer = api.json("POST", DRAIN, &json!({})).await;
    answer.problem(503, "unavailable", DRAIN);
}
