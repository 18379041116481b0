//! `dev` on a disk that is full for a while: no file of it may grow.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;

use crate::support::bodies::order;
use crate::support::dev::DevProcess;
use crate::support::wait::until;

/// Enough to hold what it logs meanwhile, and soon reached by the database's log.
const FILE_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// How long the disk is full, while a client goes on asking.
const FULL_FOR: Duration = Duration::from_secs(12);
/// Warnings and errors of that time: every part that writes may say so at once, and again every ten
/// seconds.
const LINES_MAX: usize = 40;

/// From now on no file of process `pid` grows beyond `limit` bytes.
fn limit_files(pid: u32, limit: &str) {
    let limited = Command::new("prlimit")
        .args([format!("--pid={pid}"), format!("--fsize={limit}:unlimited")])
        .status();
    assert!(limited.expect("run prlimit").success());
}

fn complaints(log: &str) -> Vec<&str> {
    let is_one = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
    log.lines().filter(is_one).collect()
}

fn bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

#[tokio::test]
async fn a_full_disk_makes_dev_unready_and_fills_no_log() {
    let dev = DevProcess::start(None).await;
    let client = &dev.client;
    let known = client.place(&order(), None).await.expect(201).id();
    limit_files(dev.role.pid(), &FILE_BYTES_MAX.to_string());
    let log = dev.data.join("trackops.db-wal");
    let url = format!("{}/api/v1/orders", client.to.order);
    until("the disk is full", || async {
        for _ in 0..20 {
            let answer = client.send(Method::POST, &url, &[], Some(&order())).await;
            let status = answer.expect("an answer").status;
            if status != 201 {
                assert_eq!(status, 503);
                return Some(());
            }
        }
        None
    })
    .await;
    assert!(bytes(&log) <= FILE_BYTES_MAX);
    // Where one order found no room, a smaller write still may. Behind this there is none at all: the
    // limit holds for what is written over too.
    assert!(bytes(&log) > FILE_BYTES_MAX / 2);
    limit_files(dev.role.pid(), &(FILE_BYTES_MAX / 2).to_string());

    let said = dev.role.log().len();
    let end = tokio::time::Instant::now() + FULL_FOR;
    while tokio::time::Instant::now() < end {
        client.place(&order(), None).await.expect(503);
        let ready = client.fetch(&format!("{}/readyz", client.to.order)).await;
        assert_eq!(ready.status, 503, "it can't write: {ready:#?}");
        assert!(ready.text("detail").contains("journal"), "{ready:#?}");
        // What it knows it still shows.
        client.show(known).await.expect(200);
        // A client's pace.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = dev.role.log();
    let new = complaints(&all[said..]);
    assert!(new.len() <= LINES_MAX, "{} lines: {new:#?}", new.len());

    limit_files(dev.role.pid(), "unlimited");
    until("there is room again", || async {
        let ready = client.fetch(&format!("{}/readyz", client.to.order)).await;
        (ready.status == 200).then_some(())
    })
    .await;
    let placed = client.place(&order(), None).await.expect(201).id();
    client.reaches(placed, "CONFIRMED").await;
}
