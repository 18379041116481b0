//! The production build's encrypted connections, on real servers with certificates of an authority that is made here.
//! Only with the feature `tls`: `cargo xtask test --tls`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::servers::{KafkaLaunch, PostgresLaunch, RedisLaunch, Scratch, free_port};

use crate::scenarios;
use crate::support::databases::{Databases, execute, number};
use crate::support::deployment::{Deployment, Options, run_to_end};
use crate::support::environment::fresh_tag;
use crate::support::own_servers::Own;
use crate::support::wait::until;

/// No extension of the system's own configuration.
const CONFIGURATION: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
";

/// An authority that nobody else knows, and the key and the certificate of a server at 127.0.0.1.
struct Authority(Scratch);

impl Authority {
    fn new() -> Self {
        let authority = Self(Scratch::new("tls").expect("a folder"));
        fs::write(authority.path("openssl.cnf"), CONFIGURATION).expect("written");
        authority.certify("authority", &[]);
        let signed = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        authority.certify("server", &signed);
        let read = |name| fs::read_to_string(authority.path(name)).expect("it is there");
        let both = [read("server.key"), read("server.pem")].concat();
        fs::write(authority.path("both.pem"), both).expect("written");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes `name.key` and `name.pem`.
    fn certify(&self, name: &str, by: &[&str]) {
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args([
                "req",
                "-x509",
                "-config",
                "openssl.cnf",
                "-extensions",
                name,
            ])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", &format!("/CN=test {name}")])
            .args(["-keyout", &format!("{name}.key")])
            .args(["-out", &format!("{name}.pem")])
            .args(by)
            .output()
            .expect("start openssl");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

/// A PostgreSQL that takes encrypted connections.
async fn postgres(authority: &Authority) -> Own<PostgresLaunch> {
    let server = Own::<PostgresLaunch>::start().await;
    let data = server.dir().join("data");
    let owner = fs::metadata(&data).expect("it is there");
    for name in ["server.key", "server.pem"] {
        let file = data.join(name);
        fs::copy(authority.path(name), &file).expect("copied");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect("given");
    }
    let admin = format!("{}/postgres", server.url());
    for change in [
        "ALTER SYSTEM SET ssl_key_file = 'server.key'",
        "ALTER SYSTEM SET ssl_cert_file = 'server.pem'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        execute(&admin, change).await.expect("a superuser may");
    }
    until("PostgreSQL has read its settings", async || {
        let sql = "SELECT count(*) FROM pg_settings WHERE name = 'ssl' AND setting = 'on'";
        (number(&admin, sql).await == 1).then_some(())
    })
    .await;
    server
}

/// A Redis, and the port at which it takes encrypted connections, and no others.
async fn redis(authority: &Authority) -> (Own<RedisLaunch>, u16) {
    let server = Own::<RedisLaunch>::start().await;
    let port = free_port().expect("a free port");
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await;
    let connection = connection.as_mut().expect("it listens");
    let mut set = redis::cmd("CONFIG");
    set.arg("SET");
    for (key, file) in [
        ("tls-cert-file", "server.pem"),
        ("tls-key-file", "server.key"),
        ("tls-ca-cert-file", "authority.pem"),
    ] {
        set.arg(key).arg(path(&authority.path(file)));
    }
    set.arg("tls-auth-clients").arg("no");
    set.arg("tls-port").arg(port);
    let set: redis::RedisResult<()> = set.query_async(connection).await;
    set.expect("this Redis is built with TLS, as Debian's is");
    (server, port)
}

fn path(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn the_roles_speak_tls_to_every_server() {
    let authority = Authority::new();
    let kafka_port = free_port().expect("a free port");
    let pem = authority.path("both.pem");
    let kafka =
        Own::<KafkaLaunch>::start_on(move |dir| KafkaLaunch::listen_by_tls(dir, kafka_port, &pem));
    let (postgres, (redis_server, redis_port), _kafka) =
        tokio::join!(postgres(&authority), redis(&authority), kafka);
    let known = path(&authority.path("authority.pem"));
    let deployment = Deployment::start(Options {
        postgres: Some(format!(
            "{}?sslmode=verify-full&sslrootcert={known}",
            postgres.url()
        )),
        redis: Some(format!("rediss://127.0.0.1:{redis_port}")),
        kafka: Some(format!("127.0.0.1:{kafka_port}")),
        environment: vec![
            ("TRACKOPS_KAFKA_SECURITY_PROTOCOL", "SSL".into()),
            // The system's authorities, as Redis' and Kafka's clients look for them.
            ("SSL_CERT_FILE", known),
        ],
        ..Options::default()
    })
    .await;
    // Over all three: what is placed is confirmed by way of Kafka.
    scenarios::an_order_lives_and_is_watched(&deployment.client).await;

    let admin = format!("{}/postgres", postgres.url());
    let sessions = async |and: &str| {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE application_name = 'trackops' AND {and}"
        );
        number(&admin, &sql).await
    };
    assert!(sessions("ssl").await > 0);
    assert_eq!(sessions("NOT ssl").await, 0);

    let client = redis::Client::open(redis_server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await;
    let connection = connection.as_mut().expect("it listens");
    let keys: u64 = redis::cmd("DBSIZE")
        .query_async(connection)
        .await
        .expect("asked");
    assert!(keys > 0, "the roles have written to the cache");
}

#[tokio::test]
async fn a_server_that_an_unknown_authority_vouches_for_is_refused() {
    let authority = Authority::new();
    let server = postgres(&authority).await;
    let mut databases = Databases::on(&server.url());
    let url = databases.create(&format!("{}_orders", fresh_tag())).await;
    let url = format!("{url}?sslmode=verify-full");
    let variables = [
        ("TRACKOPS_ORDERS_DATABASE_URL", url.clone()),
        ("TRACKOPS_INVENTORY_DATABASE_URL", url),
        ("TRACKOPS_KAFKA_BROKERS", "127.0.0.1:1".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let (status, said) = run_to_end(&["migrate"], &variables).await;
    assert!(!status.success() && said.contains("certificate"), "{said}");
}
