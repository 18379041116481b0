//! What the real binary says at its start: a database that is not migrated, topics that are missing, and
//! which layer of the configuration wins.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::databases::{Databases, execute};
use crate::support::deployment::{Deployment, Options, public, run_to_end};
use crate::support::environment::{self, free_port, fresh_folder, fresh_tag};
use crate::support::role::Role;
use crate::support::wait::{LONG, until};

/// The variables of a role that uses `orders` and `inventory`.
fn variables(orders: &str, inventory: &str) -> Vec<(String, String)> {
    [
        ("ORDERS_DATABASE_URL", orders.to_owned()),
        ("INVENTORY_DATABASE_URL", inventory.to_owned()),
        ("REDIS_URL", environment::redis()),
        ("KAFKA_BROKERS", environment::kafka()),
        ("LISTEN", format!("127.0.0.1:{}", free_port())),
        ("MANAGEMENT_LISTEN", format!("127.0.0.1:{}", free_port())),
    ]
    .map(|(name, value)| (format!("TRACKOPS_{name}"), value))
    .into()
}

#[tokio::test]
async fn a_role_says_that_its_database_is_not_migrated() {
    let tag = fresh_tag();
    let mut databases = Databases::on(&environment::postgres());
    let empty = databases.create(&format!("{tag}_empty")).await;
    // Its last step is missing: it is of an older version.
    let behind = databases.create(&format!("{tag}_behind")).await;
    let table = "CREATE TABLE _sqlx_migrations (version bigint, success boolean);
        INSERT INTO _sqlx_migrations VALUES (1, true)";
    execute(&behind, table).await.expect("a table");
    let nowhere = format!("{}/{tag}_nowhere", environment::postgres());
    for (role, url, complaint) in [
        ("order", &empty, "orders: the database isn't migrated"),
        ("order", &nowhere, "orders: the database isn't migrated"),
        (
            "inventory",
            &empty,
            "inventory: the database isn't migrated",
        ),
        (
            "inventory",
            &behind,
            "inventory: the database is at migration 1 of",
        ),
        (
            "relay",
            &behind,
            "orders: the database is at migration 1 of",
        ),
    ] {
        let run = tokio::time::timeout(LONG, async {
            run_to_end(&[role], &variables(url, url)).await
        });
        let (status, output) = run.await.expect("it doesn't wait for what won't come");
        assert!(!status.success(), "{role} on {url}");
        let said = output.lines().find(|line| line.starts_with("trackops: "));
        let said = said.unwrap_or_else(|| panic!("{role} says nothing:\n{output}"));
        assert!(said.contains(complaint), "{said}");
        assert!(said.ends_with("run `trackops migrate`"), "{said}");
    }
}

#[tokio::test]
async fn a_missing_topic_makes_a_role_unready_and_is_named() {
    let deployment = Deployment::start(Options::default()).await;
    // The databases are as they must be; under this prefix there is no topic.
    let mut launch = deployment.launch_another("relay", "elsewhere");
    let prefix = format!("{}.", fresh_tag());
    launch
        .environment
        .push(("TRACKOPS_KAFKA_PREFIX".into(), prefix));
    let url = format!("{}/readyz", launch.management);
    let _relay = Role::spawn(launch);
    let detail = until("it names what is missing", || async {
        let answer = reqwest::get(&url).await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        (status == 503 && text.contains("missing topics")).then_some(text)
    })
    .await;
    for topic in ["ORDER_CREATED,", "ORDER_CREATED.dlq", "INVENTORY_RESERVED,"] {
        assert!(detail.contains(topic), "{topic}: {detail}");
    }
    assert!(detail.contains("run `trackops migrate`"), "{detail}");
}

/// Environment of a process without any variable of ours but these.
fn only(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = more.iter();
    pairs
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_variable_wins_over_the_file_and_an_unknown_key_is_named() {
    let folder = fresh_folder(&fresh_tag());
    let file = folder.join("trackops.toml");
    let text = "shards = 16\nlease_ms = 2000\nredis_url = \"redis://:hunter2@h/0\"\n\
        orders_database_url = \"postgres://h/db?user=u&password=hunter2\"\n";
    std::fs::write(&file, text).expect("write the file");
    let path = file.to_string_lossy();
    let arguments = ["config", "--config", &path];
    let variables = only(&[
        ("TRACKOPS_SHARDS", "32"),
        ("TRACKOPS_KAFKA_SASL_USERNAME", "u"),
        ("TRACKOPS_KAFKA_SASL_PASSWORD", "hunter2"),
    ]);
    let (status, output) = run_to_end(&arguments, &variables).await;
    assert!(status.success(), "{output}");
    for line in [
        "shards = 32",
        "lease_ms = 2000",
        "writer_lanes = 2",
        "redis_url = \"redis://:***@h/0\"",
        "orders_database_url = \"postgres://h/db?user=u&password=***\"",
        "kafka_sasl_password = \"***\"",
    ] {
        assert!(
            output.lines().any(|shown| shown == line),
            "{line}: {output}"
        );
    }
    assert!(!output.contains("hunter2"), "{output}");

    std::fs::write(&file, "shard = 16\n").expect("write the file");
    for role in ["config", "order", "migrate"] {
        let (status, output) = run_to_end(&[role, "--config", &path], &[]).await;
        assert!(!status.success(), "{role}");
        let line = format!("trackops: the configuration file {path} has an unknown key: shard\n");
        assert_eq!(output, line, "{role}");
    }
    let variables = only(&[("TRACKOPS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")]);
    if cfg!(not(feature = "tls")) {
        let (status, output) = run_to_end(&["relay"], &variables).await;
        assert!(!status.success());
        let line =
            "trackops: kafka_security_protocol: SASL_SSL needs a build with the feature `tls`\n";
        assert_eq!(output, line);
    }
}

/// However a secret is written, and wherever: nothing that is printed repeats it.
#[tokio::test]
async fn a_secret_in_another_form_is_not_shown() {
    let folder = fresh_folder(&fresh_tag());
    let file = folder.join("trackops.toml");
    let path = file.to_string_lossy();
    for url in [
        "host=h user=u password=hunter2 dbname=db",
        "u:hunter2@h:5432/db",
        "hunter2",
        "postgres://u:hunter2",
        "postgres://u:hunter2@h:port/db",
        "postgres://h/db?sslmode=hunter2",
        "postgres://u:p@127.0.0.1:1/db?passwrd=hunter2",
    ] {
        let variables = only(&[
            ("TRACKOPS_ORDERS_DATABASE_URL", url),
            ("TRACKOPS_INVENTORY_DATABASE_URL", url),
            ("TRACKOPS_REDIS_URL", url),
            ("TRACKOPS_KAFKA_BROKERS", "kafka://u:hunter2@h:9092"),
        ]);
        for command in ["config", "migrate", "order", "relay"] {
            let command = [command];
            let run = tokio::time::timeout(LONG, run_to_end(&command, &variables));
            let (status, output) = run.await.expect("it ends");
            let [command] = command;
            assert_eq!(status.success(), command == "config", "{output}");
            assert!(!output.contains("hunter2"), "{command} {url}: {output}");
        }
    }
    for text in [
        "lease_ms = 1500\nlink_secret = hunter2 # unquoted\n",
        "link_secret = \"hunter2\n",
        "link_secret = [\"hunter2\"]",
        "hunter2",
    ] {
        std::fs::write(&file, text).expect("write the file");
        for command in ["config", "migrate"] {
            let (status, output) = run_to_end(&[command, "--config", &path], &[]).await;
            assert!(!status.success(), "{output}");
            assert!(!output.contains("hunter2"), "{text}: {output}");
            let where_it_is = output.contains("at line") || output.contains("link_secret");
            assert!(where_it_is && output.lines().count() == 1, "{output}");
        }
    }
}

#[tokio::test]
async fn a_secret_may_be_in_a_file_and_a_misspelt_variable_is_named() {
    let folder = fresh_folder(&fresh_tag());
    let file = folder.join("redis-url");
    std::fs::write(&file, "redis://u:hunter2@h:6379/3\n").expect("write the file");
    let path = file.to_string_lossy();
    let variables = only(&[
        ("TRACKOPS_REDIS_URL_FILE", &path),
        ("TRACKOPS_LINK_SECERT", "hunter2"),
    ]);
    let (status, output) = run_to_end(&["config"], &variables).await;
    assert!(status.success(), "{output}");
    for line in [
        "redis_url = \"redis://u:***@h:6379/3\"",
        "# TRACKOPS_LINK_SECERT means nothing: is it TRACKOPS_LINK_SECRET?",
    ] {
        assert!(output.lines().any(|shown| shown == line), "{output}");
    }
    assert!(!output.contains("hunter2"), "{output}");
    // A start warns of it, and goes on to what is missing.
    let (_, output) = run_to_end(&["relay"], &variables).await;
    for said in ["TRACKOPS_LINK_SECERT", "orders_database_url"] {
        assert!(output.contains(said), "{output}");
    }
    for command in ["config", "order", "inventory", "relay", "migrate", "dev"] {
        let (status, output) = run_to_end(&[command, "--strict"], &variables).await;
        assert!(!status.success(), "{command}: {output}");
        let line = "trackops: TRACKOPS_LINK_SECERT means nothing: is it TRACKOPS_LINK_SECRET?\n";
        assert_eq!(output, line, "{command}");
    }
    let both = only(&[
        ("TRACKOPS_REDIS_URL_FILE", &path),
        ("TRACKOPS_REDIS_URL", "redis://h"),
    ]);
    let (status, output) = run_to_end(&["config"], &both).await;
    assert!(
        !status.success() && output.contains("are both set"),
        "{output}"
    );
}

#[tokio::test]
async fn a_flag_wins_over_the_variable() {
    let deployment = Deployment::start(Options::default()).await;
    let folder = fresh_folder(&fresh_tag());
    let file = folder.join("trackops.toml");
    let [in_file, flag] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    std::fs::write(&file, format!("listen = {in_file:?}\n")).expect("write the file");
    let mut launch = deployment.launch_another("relay", "flagged");
    let variable = public(&launch);
    let more = ["--config", &file.to_string_lossy(), "--listen", &flag];
    launch.arguments.extend(more.map(str::to_owned));
    let mut relay = Role::start(launch).await;
    let answers = |base: String| async move {
        let asked = reqwest::Client::new().get(format!("{base}/api/v1/openapi.json"));
        let answer = asked.timeout(Duration::from_secs(5)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    assert!(answers(format!("http://{flag}")).await);
    assert!(!answers(variable.clone()).await);
    relay.kill();
    // Without the flag, the variable wins over the file.
    relay.launch.arguments.truncate(3);
    relay.restart(None).await;
    assert!(answers(variable).await);
    assert!(!answers(format!("http://{in_file}")).await);
}

/// `type` of an error leads to a page, on the management listener too.
#[tokio::test]
async fn problems_of_the_management_listener_have_their_pages() {
    let deployment = Deployment::start(Options::default()).await;
    let client: &Client = &deployment.client;
    for management in [
        &client.to.order_management,
        &client.to.inventory_management,
        &client.to.relay_management,
    ] {
        let nothing = client
            .fetch(&format!("{management}/nothing"))
            .await
            .expect(404);
        let page = format!("{management}{}", nothing.text("type"));
        let answer = reqwest::get(page).await.expect("it answers");
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.expect("a page").contains("not-found"));
    }
}
