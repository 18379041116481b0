//! `trackops dev` where somebody is in the way: one line that names what, and the flag that helps.

use crate::support::bodies::order;
use crate::support::deployment::run_to_end;
use crate::support::dev::{DevProcess, launch};
use crate::support::environment::{free_port, fresh_folder, fresh_tag};
use crate::support::role::Role;
use crate::support::wait::LONG;

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

/// It asks nobody who they are, so other machines reach it only if somebody says so.
#[tokio::test]
async fn beyond_loopback_it_starts_only_when_told_so() {
    let folder = fresh_folder(&fresh_tag());
    let data = folder.join("data");
    let data = data.to_string_lossy();
    let port = free_port();
    let everywhere = format!("0.0.0.0:{port}");
    let loopback = format!("127.0.0.1:{port}");
    let management = vec![(
        "TRACKOPS_MANAGEMENT_LISTEN".to_owned(),
        format!("0.0.0.0:{}", free_port()),
    )];
    for (listen, environment) in [(&everywhere, vec![]), (&loopback, management)] {
        let arguments = ["dev", "--data-dir", &data, "--listen", listen];
        let (status, output) = run_to_end(&arguments, &environment).await;
        assert!(!status.success());
        let lines = complaint(&output);
        assert_eq!(lines.len(), 1, "{output}");
        assert!(
            lines[0].contains("0.0.0.0") && lines[0].contains("--expose-unprotected"),
            "{output}"
        );
    }
    let mut launch = launch(&folder, &folder.join("data"), port);
    launch.arguments = ["dev", "--data-dir", &data, "--listen", &everywhere]
        .map(str::to_owned)
        .into();
    launch.arguments.push("--expose-unprotected".into());
    drop(Role::start(launch).await);
}

#[tokio::test]
async fn operations_have_an_address_of_their_own_when_one_is_set() {
    let folder = fresh_folder(&fresh_tag());
    let mut launch = launch(&folder, &folder.join("data"), free_port());
    let public = launch.management.clone();
    let listen = format!("127.0.0.1:{}", free_port());
    launch.management = format!("http://{listen}");
    launch
        .environment
        .push(("TRACKOPS_MANAGEMENT_LISTEN".into(), listen));
    let mut role = Role::start(launch).await;
    let management = role.launch.management.clone();
    let status = async |url: String| {
        let answer = reqwest::get(url).await.expect("an answer");
        answer.status().as_u16()
    };
    for path in ["/livez", "/metrics", "/admin/v1/cluster"] {
        assert_eq!(status(format!("{management}{path}")).await, 200, "{path}");
        assert_eq!(status(format!("{public}{path}")).await, 404, "{path}");
    }
    for path in ["/api/v1/orders", "/api/v1/inventory/items", "/docs/"] {
        assert_eq!(status(format!("{public}{path}")).await, 200, "{path}");
        assert_eq!(status(format!("{management}{path}")).await, 404, "{path}");
    }
    for base in [management, public] {
        let page = format!("{base}/problems/not-found");
        assert_eq!(status(page).await, 200);
    }
    role.signal("TERM");
    let status = role.exit(LONG).await.expect("it stops");
    assert!(status.success(), "in good order");
}
