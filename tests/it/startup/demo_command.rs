//! `trackops dev --demo` as a person starts it: what it prints, and an order that the shop brings all the
//! way without anybody's help.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::support::bodies::order_of;
use crate::support::client::{Client, Endpoints};
use crate::support::environment::{free_port, fresh_folder, fresh_tag};
use crate::support::stream::EventStream;
use crate::support::wait::{LONG, until};

/// An order takes about 20 s; a machine that compiles beside it takes its time.
const DELIVERED_WITHIN: Duration = Duration::from_secs(180);

/// On the shop's menu.
const SKU: &str = "PIZZA-MARGHERITA";

#[tokio::test]
async fn the_shop_brings_an_order_all_the_way() {
    let folder = fresh_folder(&fresh_tag());
    let data = folder.join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let log = std::fs::File::create(folder.join("demo.log")).expect("a log");
    let program = env!("CARGO_BIN_EXE_trackops");
    let mut child = Command::new(program)
        .args(["dev", "--demo", "--listen", &listen, "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("start the binary");
    let printed = banner(child.stdout.take().expect("piped")).await;
    let base = format!("http://{listen}");
    for line in [
        format!("{base}/docs"),
        data.display().to_string(),
        format!("{program} place --watch --url {base}"),
        format!("{program} watch --since 0 --url {base}"),
        format!("curl -s '{base}/api/v1/orders?limit=3'"),
    ] {
        assert!(printed.contains(&line), "{line} is not in:\n{printed}");
    }

    let client = Client::new(Endpoints {
        order: base.clone(),
        inventory: base.clone(),
        order_management: base.clone(),
        inventory_management: base.clone(),
        relay_management: base.clone(),
    });
    let item = format!("{base}/api/v1/inventory/items/{SKU}");
    until("the catalogue is stocked", || async {
        (client.fetch(&item).await.status == 200).then_some(())
    })
    .await;
    let id = client.place(&order_of(SKU, 1), None).await.expect(201).id();
    let mut events = EventStream::open(&format!("{base}/api/v1/orders/{id}/events"), None).await;
    let mut located = 0;
    let delivered = tokio::time::timeout(DELIVERED_WITHIN, async {
        loop {
            let event = events.next().await.expect("the stream stays open");
            located += u32::from(event.kind == "location");
            if event.data["status"] == "DELIVERED" {
                return;
            }
        }
    });
    delivered.await.expect("it is delivered");
    assert!(located > 0, "nobody saw the courier");
    child.kill().await.expect("it ends");
    // Left over in the target folder at worst.
    let _ = std::fs::remove_dir_all(&data);
}

/// What it prints until the last of the three commands.
async fn banner(stdout: ChildStdout) -> String {
    let mut lines = BufReader::new(stdout).lines();
    let mut printed = String::new();
    let read = tokio::time::timeout(LONG, async {
        while let Some(line) = lines.next_line().await.expect("text") {
            printed.push_str(&line);
            printed.push('\n');
            if line.contains("curl") {
                return;
            }
        }
    });
    read.await.expect("it prints its banner");
    printed
}
