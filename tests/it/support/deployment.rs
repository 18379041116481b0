//! The three roles as processes on real servers, with databases, topics and keys of their own.

use std::path::PathBuf;
use std::process::Command;

use futures_util::future::join_all;

use super::bodies::{ON_HAND, SKUS};
use super::client::{Client, Endpoints};
use super::databases::Databases;
use super::environment::{self, free_port, fresh_folder, fresh_tag};
use super::role::{Launch, Role};

/// Which servers a deployment uses, and settings of its roles.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Instead of the shared PostgreSQL.
    pub postgres: Option<String>,
    /// Instead of the shared Redis.
    pub redis: Option<String>,
    /// Instead of the shared Kafka.
    pub kafka: Option<String>,
    /// More variables for every role.
    pub environment: Vec<(&'static str, String)>,
    /// More variables for the order role alone.
    pub order_environment: Vec<(&'static str, String)>,
    /// `TRACKOPS_FAULT` of the order role's first life.
    pub order_fault: Option<String>,
}

/// A running system.
pub struct Deployment {
    /// The order role.
    pub order: Role,
    /// The inventory role.
    pub inventory: Role,
    /// The relay.
    pub relay: Role,
    /// A client of all three.
    pub client: Client,
    /// The orders' database.
    pub orders_url: String,
    /// The inventory's.
    pub inventory_url: String,
    /// The Redis.
    pub redis_url: String,
    /// Before every key.
    pub redis_prefix: String,
    /// The brokers.
    pub kafka: String,
    /// Before every topic.
    pub kafka_prefix: String,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    // Last: dropped after the processes that use them.
    _topics: Topics,
    _databases: Databases,
}

impl Deployment {
    /// Migrates, starts the three roles and stocks [`SKUS`].
    pub async fn start(options: Options) -> Self {
        let tag = fresh_tag();
        let postgres = options.postgres.unwrap_or_else(environment::postgres);
        let redis_url = options.redis.unwrap_or_else(environment::redis);
        let kafka = options.kafka.unwrap_or_else(environment::kafka);
        let mut databases = Databases::on(&postgres);
        let orders_url = databases.create(&format!("{tag}_orders")).await;
        let inventory_url = databases.create(&format!("{tag}_inventory")).await;
        let (redis_prefix, kafka_prefix) = (format!("{tag}:"), format!("{tag}."));
        let folder = fresh_folder(&tag);
        let mut environment: Vec<(String, String)> = [
            ("ORDERS_DATABASE_URL", orders_url.as_str()),
            ("INVENTORY_DATABASE_URL", &inventory_url),
            ("REDIS_URL", &redis_url),
            ("REDIS_PREFIX", &redis_prefix),
            ("KAFKA_BROKERS", &kafka),
            ("KAFKA_PREFIX", &kafka_prefix),
            // Enough to be several; each costs time at every start.
            ("KAFKA_PARTITIONS", "3"),
            ("SHARDS", "16"),
            ("LOG", "info,trackops=debug"),
        ]
        .map(|(name, value)| (format!("TRACKOPS_{name}"), value.to_owned()))
        .into();
        let more = options.environment.into_iter();
        environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let topics = Topics {
            brokers: kafka.clone(),
            prefix: kafka_prefix.clone(),
        };
        migrate(&environment, &folder).await;

        let launch = |role: &str| launch(role, role, &environment, &folder);
        let (mut order, inventory, relay) = (launch("order"), launch("inventory"), launch("relay"));
        let own = options.order_environment.into_iter();
        order
            .environment
            .extend(own.map(|(name, value)| (name.into(), value)));
        let client = Client::new(Endpoints {
            order: public(&order),
            inventory: public(&inventory),
            order_management: order.management.clone(),
            inventory_management: inventory.management.clone(),
            relay_management: relay.management.clone(),
        });
        let mut order = Role::spawn_with(order, options.order_fault.as_deref());
        let (mut inventory, mut relay) = (Role::spawn(inventory), Role::spawn(relay));
        tokio::join!(order.ready(), inventory.ready(), relay.ready());
        let deployment = Self {
            order,
            inventory,
            relay,
            client,
            orders_url,
            inventory_url,
            redis_url,
            redis_prefix,
            kafka,
            kafka_prefix,
            environment,
            folder,
            _topics: topics,
            _databases: databases,
        };
        stock_all(&deployment.client).await;
        deployment
    }

    /// One more process of `role` under `name`, which is its node id too, on ports of its own.
    pub fn launch_another(&self, role: &str, name: &str) -> Launch {
        launch(role, name, &self.environment, &self.folder)
    }

    /// The three roles.
    pub fn roles(&mut self) -> [&mut Role; 3] {
        [&mut self.order, &mut self.inventory, &mut self.relay]
    }
}

/// The base URL of the public listener of `launch`.
pub fn public(launch: &Launch) -> String {
    let listen = launch
        .environment
        .iter()
        .rfind(|(name, _)| name == "TRACKOPS_LISTEN");
    format!("http://{}", listen.expect("set in launch").1)
}

/// Stocks every item of the catalogue.
pub async fn stock_all(client: &Client) {
    for answer in join_all(SKUS.map(|sku| client.stock(sku, ON_HAND))).await {
        answer.expect(200);
    }
}

fn launch(
    role: &str,
    name: &str,
    environment: &[(String, String)],
    folder: &std::path::Path,
) -> Launch {
    let [listen, management] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let mut environment = environment.to_vec();
    environment.extend([
        ("TRACKOPS_LISTEN".into(), listen),
        ("TRACKOPS_MANAGEMENT_LISTEN".into(), management.clone()),
        ("TRACKOPS_NODE_ID".into(), name.into()),
    ]);
    Launch {
        name: name.into(),
        arguments: vec![role.into()],
        environment,
        folder: folder.into(),
        management: format!("http://{management}"),
    }
}

async fn migrate(environment: &[(String, String)], folder: &std::path::Path) {
    let mut role = Role::spawn(Launch {
        name: "migrate".into(),
        arguments: vec!["migrate".into()],
        environment: environment.to_vec(),
        folder: folder.into(),
        management: String::new(),
    });
    let status = role.exit(super::wait::LONG).await.expect("migrate ends");
    assert!(status.success(), "migrate: {status}\n{}", role.log());
}

/// The topics of a deployment, deleted with this value: the broker is shared.
struct Topics {
    brokers: String,
    prefix: String,
}

impl Drop for Topics {
    fn drop(&mut self) {
        let (brokers, prefix) = (self.brokers.clone(), self.prefix.clone());
        let deleter = std::thread::spawn(move || delete_topics(&brokers, &prefix));
        // Left over at worst.
        let _ = deleter.join();
    }
}

fn delete_topics(brokers: &str, prefix: &str) -> Option<()> {
    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;

    // A broker of the test's own may be gone already: then there is nothing to delete.
    let address = brokers.parse().ok()?;
    std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200)).ok()?;
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .ok()?;
    let names: Vec<String> = trackops::model::topic::Topic::all_with_dead_letters()
        .iter()
        .map(|topic| format!("{prefix}{topic}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let options = AdminOptions::new().request_timeout(Some(std::time::Duration::from_secs(5)));
    runtime
        .block_on(admin.delete_topics(&names, &options))
        .ok()?;
    Some(())
}

/// Runs the binary to its end and gives its status and everything that it wrote.
pub async fn run_to_end(
    arguments: &[&str],
    environment: &[(String, String)],
) -> (std::process::ExitStatus, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackops"));
    command.args(arguments).envs(environment.iter().cloned());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("wait for the binary")
        .expect("start the binary");
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}
