//! `trackops dev` where somebody is in the way: one line that names what, and the flag that helps.

use crate::support::bodies::order;
use crate::support::deployment::run_to_end;
use crate::support::dev::DevProcess;
use crate::support::environment::free_port;

/// The lines that a person sees, without the log's.
fn complaint(output: &str) -> Vec<&str> {
    let lines = output.lines().filter(|line| line.starts_with("trackops:"));
    lines.collect()
}

#[tokio::test]
async fn a_busy_port_or_data_directory_is_named_in_one_line() {
    let dev = DevProcess::start(None).await;
    let listen = dev.client.to.order.trim_start_matches("http://").to_owned();
    let port = listen.rsplit(':').next().expect("a port");
    let elsewhere = dev.data.with_file_name("other");
    let elsewhere = elsewhere.to_string_lossy();
    let arguments = ["dev", "--data-dir", &elsewhere, "--listen", &listen];
    let (status, output) = run_to_end(&arguments, &[]).await;
    assert!(!status.success());
    let lines = complaint(&output);
    assert_eq!(lines.len(), 1, "{output}");
    assert!(
        lines[0].contains(port) && lines[0].contains("--listen"),
        "{output}"
    );

    let data = dev.data.to_string_lossy();
    let listen = format!("127.0.0.1:{}", free_port());
    let arguments = ["dev", "--data-dir", &data, "--listen", &listen];
    let (status, output) = run_to_end(&arguments, &[]).await;
    assert!(!status.success());
    let lines = complaint(&output);
    assert_eq!(lines.len(), 1, "{output}");
    assert!(
        lines[0].contains(&*data) && lines[0].contains("--data-dir"),
        "{output}"
    );

    // The one that was there notices nothing.
    dev.client.place(&order(), None).await.expect(201);
}

/// Every path that the document has is there, those of the cluster too: a cluster of one.
#[tokio::test]
async fn it_shows_itself_as_the_owner_of_every_shard() {
    let dev = DevProcess::start(None).await;
    let cluster = dev.client.get("/admin/v1/cluster").await;
    assert_eq!(cluster.status, 200);
    let nodes = cluster.body["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 1);
    assert_eq!(cluster.body["links"], serde_json::json!([]));
    let shards = dev.client.get("/admin/v1/shards").await;
    let shards = shards.body["items"].as_array().expect("shards");
    assert_eq!(nodes[0]["shards"], shards.len());
    for shard in shards {
        assert_eq!(shard["here"]["standing"], "owned", "{shard}");
    }
}

#[tokio::test]
async fn a_role_says_what_is_missing_in_its_configuration() {
    let (status, output) = run_to_end(&["order"], &[]).await;
    assert!(!status.success());
    assert!(output.contains("TRACKOPS_ORDERS_DATABASE_URL"), "{output}");
}
