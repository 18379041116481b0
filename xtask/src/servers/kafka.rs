//! Apache Kafka in `KRaft` mode: one node, broker and controller in one process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::server::{Launch, Server};
use super::{kafka_jars, locate, port};

/// A Kafka broker. It doesn't create topics automatically.
pub type Kafka = Server<KafkaLaunch>;

/// Any id will do for a cluster of one node that no client outlives.
const CLUSTER_ID: &str = "TrackOpsLocalClusterAA";
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// One node; small internal topics. The broker's session is short, because after a kill the controller keeps
/// the dead broker's registration that long. It is long enough for a machine that compiles at the same time.
const PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:@CONTROLLER@
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=@DATA@
auto.create.topics.enable=false
num.partitions=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=6000
";

const TLS_PROPERTIES: &str = "\
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,SSL://127.0.0.1:@TLS_PORT@
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,SSL://127.0.0.1:@TLS_PORT@
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location=@PEM@
";

/// A file in a server's folder that a test may have put there. Its lines come after [`PROPERTIES`] and win.
const MORE_PROPERTIES: &str = "more.properties";

const LOGGING: &str = "\
status=warn
appender.console.type=Console
appender.console.name=out
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
";

/// How Kafka is prepared, started and asked.
#[derive(Debug)]
pub struct KafkaLaunch;

impl KafkaLaunch {
    /// Has the server in `dir` listen on `port` by TLS too, with the key and the certificate in `pem`.
    pub fn listen_by_tls(dir: &Path, port: u16, pem: &Path) -> Result<()> {
        let properties = TLS_PROPERTIES
            .replace("@TLS_PORT@", &port.to_string())
            .replace("@PEM@", &pem.to_string_lossy());
        Self::add_properties(dir, &properties)
    }

    /// Puts `properties` after [`PROPERTIES`].
    pub(super) fn add_properties(dir: &Path, properties: &str) -> Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join(MORE_PROPERTIES), properties).context("write more properties")
    }
}

impl Launch for KafkaLaunch {
    const NAME: &'static str = "kafka";
    const STOP_SIGNAL: &'static str = "TERM";

    fn prepare(dir: &Path, port: u16) -> Result<()> {
        let data = dir.join("data");
        // No client needs the controller's port, so each start may have another.
        let controller = port::free()?.to_string();
        let more = fs::read_to_string(dir.join(MORE_PROPERTIES)).unwrap_or_default();
        let properties = [PROPERTIES, &more]
            .concat()
            .replace("@PORT@", &port.to_string())
            .replace("@CONTROLLER@", &controller)
            .replace("@DATA@", &data.to_string_lossy());
        fs::write(dir.join("server.properties"), properties).context("write server.properties")?;
        fs::write(dir.join("log4j2.properties"), LOGGING).context("write log4j2.properties")?;
        if data.join("meta.properties").exists() {
            Ok(())
        } else {
            format(dir)
        }
    }

    fn command(dir: &Path, _port: u16) -> Result<Command> {
        let mut command = java(dir)?;
        command
            .arg("kafka.Kafka")
            .arg(dir.join("server.properties"));
        Ok(command)
    }

    fn is_ready(port: u16) -> bool {
        has_broker(port).unwrap_or(false)
    }

    fn url(port: u16) -> String {
        format!("127.0.0.1:{port}")
    }
}

fn format(dir: &Path) -> Result<()> {
    let output = java(dir)?
        .args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            CLUSTER_ID,
            "--config",
        ])
        .arg(dir.join("server.properties"))
        .output()
        .context("run kafka.tools.StorageTool")?;
    if !output.status.success() {
        bail!(
            "formatting Kafka's storage failed:\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

fn java(dir: &Path) -> Result<Command> {
    let program = locate::find_on_path("java").context("no java here: install Java 17")?;
    let jars = kafka_jars::ensure()?;
    let mut command = Command::new(program);
    command.current_dir(dir).arg("-Xmx512m").arg(format!(
        "-Dlog4j2.configurationFile={}",
        dir.join("log4j2.properties").display()
    ));
    command.arg("-cp").arg(jars.join("*"));
    Ok(command)
}

/// Asks for the cluster's metadata (version 1, no topics) and checks that a broker is in it. A broker accepts
/// connections well before it may serve.
fn has_broker(port: u16) -> std::io::Result<bool> {
    const METADATA: i16 = 3;
    const VERSION: i16 = 1;
    const ANSWER_BYTES_MAX: u32 = 64 * 1024;
    let mut request = Vec::new();
    request.extend_from_slice(&METADATA.to_be_bytes());
    request.extend_from_slice(&VERSION.to_be_bytes());
    request.extend_from_slice(&7_i32.to_be_bytes());
    request.extend_from_slice(&(-1_i16).to_be_bytes());
    request.extend_from_slice(&0_i32.to_be_bytes());
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);

    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return Ok(false);
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    Ok(brokers_in(&answer).is_some_and(|brokers| brokers > 0))
}

/// Reads the number of brokers, which follows the correlation id in an answer.
fn brokers_in(answer: &[u8]) -> Option<i32> {
    let (correlation, rest) = answer.split_first_chunk()?;
    let (brokers, _) = rest.split_first_chunk()?;
    (i32::from_be_bytes(*correlation) == 7).then(|| i32::from_be_bytes(*brokers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_something_else_is_no_broker() {
        assert_eq!(brokers_in(&[0, 0, 0, 7, 0, 0, 0, 1]), Some(1));
        assert_eq!(brokers_in(&[0, 0, 0, 8, 0, 0, 0, 1]), None);
        assert_eq!(brokers_in(&[0, 0, 0, 7]), None);
    }
}
