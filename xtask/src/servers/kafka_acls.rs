//! A Kafka that asks its clients who they are and lets each do only what it was allowed, beside the listener for
//! everybody: there, everything is allowed.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::kafka::KafkaLaunch;

const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// Who comes by the listener for everybody is `ANONYMOUS`.
const PROPERTIES: &str = "\
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,SASL_PLAINTEXT://127.0.0.1:@SASL_PORT@
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,SASL_PLAINTEXT://127.0.0.1:@SASL_PORT@
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required @USERS@;
";

impl KafkaLaunch {
    /// Has the server in `dir` listen on `port` by SASL too, for `users` with these names and passwords.
    pub fn listen_by_sasl(dir: &Path, port: u16, users: &[(&str, &str)]) -> Result<()> {
        let users = users
            .iter()
            .map(|(name, password)| format!("user_{name}=\"{password}\""));
        let properties = PROPERTIES
            .replace("@SASL_PORT@", &port.to_string())
            .replace("@USERS@", &users.collect::<Vec<String>>().join(" "));
        Self::add_properties(dir, &properties)
    }
}

/// What an access control list is about, by its code on Kafka's wire.
#[derive(Clone, Copy, Debug)]
pub enum Resource {
    /// Topics.
    Topic = 2,
    /// Consumer groups.
    Group = 3,
}

/// What somebody may do, by its code on Kafka's wire. To read or write includes to describe.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Consume, or be in the group.
    Read = 3,
    /// Produce.
    Write = 4,
    /// See that it is there, and where it ends.
    Describe = 8,
}

/// One user's right.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// The user's name.
    pub user: &'a str,
    /// What it is about.
    pub resource: Resource,
    /// The name of the topic or group.
    pub name: &'a str,
    /// What the user may do.
    pub operation: Operation,
}

/// Gives `rights`, by the listener for everybody on `port` (`CreateAcls`, version 1).
pub fn allow(port: u16, rights: &[Right<'_>]) -> Result<()> {
    const CREATE_ACLS: i16 = 30;
    const VERSION: i16 = 1;
    const CORRELATION: i32 = 7;
    const LITERAL: u8 = 3;
    const ALLOW: u8 = 3;
    let mut request = Vec::new();
    request.extend_from_slice(&CREATE_ACLS.to_be_bytes());
    request.extend_from_slice(&VERSION.to_be_bytes());
    request.extend_from_slice(&CORRELATION.to_be_bytes());
    // No name of the client.
    request.extend_from_slice(&(-1_i16).to_be_bytes());
    request.extend_from_slice(&u32::try_from(rights.len())?.to_be_bytes());
    for right in rights {
        request.push(right.resource as u8);
        put_text(&mut request, right.name)?;
        request.push(LITERAL);
        put_text(&mut request, &format!("User:{}", right.user))?;
        put_text(&mut request, "*")?;
        request.push(right.operation as u8);
        request.push(ALLOW);
    }
    let answer = ask(port, &request).context("ask Kafka")?;
    // Correlation, throttle time, and for each right an error code and a text, which is empty without an error.
    let results = answer.get(12..).context("Kafka's answer is short")?;
    for (right, result) in rights.iter().zip(results.chunks(4)) {
        ensure!(result.starts_with(&[0, 0]), "{right:?}: {result:?}");
    }
    ensure!(results.len() == rights.len() * 4, "not all are answered");
    Ok(())
}

fn put_text(request: &mut Vec<u8>, text: &str) -> Result<()> {
    request.extend_from_slice(&i16::try_from(text.len())?.to_be_bytes());
    request.extend_from_slice(text.as_bytes());
    Ok(())
}

fn ask(port: u16, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
