//! `proxy`: a round-robin TCP proxy before the replicas of a cluster, for trials and tests on one
//! machine. Each connection goes to the next replica that says it is ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::http::{Connection, get};

/// Between two questions whether a replica is ready; a stop gives much more notice than that.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// A replica that says nothing for this long isn't ready.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A replica that doesn't take a connection within this is passed over.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Connections at once, of two files each; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 20_000;
/// When no file is left for another connection, some have to end first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Where it listens, and before whom.
#[derive(Args)]
pub struct ProxyArguments {
    /// Where clients connect.
    #[arg(long)]
    listen: SocketAddr,
    /// A replica: its public address, a comma, its management address. May be repeated.
    #[arg(long = "replica", value_name = "PUBLIC,MANAGEMENT", value_parser = parse_replica, required = true)]
    replicas: Vec<(SocketAddr, SocketAddr)>,
}

struct Replica {
    public: SocketAddr,
    management: SocketAddr,
    ready: AtomicBool,
}

struct Replicas {
    all: Vec<Arc<Replica>>,
    next: AtomicUsize,
}

/// Serves until it is killed or interrupted.
pub async fn run(arguments: ProxyArguments) -> Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("listen on {}", arguments.listen))?;
    let replicas = Replicas::of(arguments.replicas);
    for replica in &replicas.all {
        tokio::spawn(ask(Arc::clone(replica)));
    }
    serve(listener, replicas).await
}

async fn serve(listener: TcpListener, replicas: Arc<Replicas>) -> Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let replicas = Arc::clone(&replicas);
        tokio::spawn(async move {
            pass(client, &replicas).await;
            drop(place);
        });
    }
}

/// Keeps asking whether the replica is ready.
async fn ask(replica: Arc<Replica>) {
    let request = get(replica.management, "/readyz");
    let mut connection = Connection::new(replica.management);
    loop {
        let answer = tokio::time::timeout(ANSWER_MAX, connection.call(&request)).await;
        let ready = matches!(&answer, Ok(Ok(response)) if response.status == 200);
        if answer.is_err() {
            // Given up in the middle: it can't be used again.
            connection = Connection::new(replica.management);
        }
        replica.ready.store(ready, Ordering::Relaxed);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Carries one connection; a client without a replica is simply closed.
async fn pass(mut client: TcpStream, replicas: &Replicas) {
    let Ok(mut server) = replicas.connect().await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    // An error is either side's going away, which the other one sees.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

impl Replicas {
    fn of(addresses: Vec<(SocketAddr, SocketAddr)>) -> Arc<Self> {
        let replica = |(public, management)| {
            Arc::new(Replica {
                public,
                management,
                ready: AtomicBool::new(false),
            })
        };
        Arc::new(Self {
            all: addresses.into_iter().map(replica).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// A connection to the next ready replica; if none says so, to any that takes it.
    async fn connect(&self) -> Result<TcpStream> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            let turn = (0..self.all.len()).map(|n| (first + n) % self.all.len());
            turn.map(|index| &self.all[index])
        };
        let is_ready = |replica: &&Arc<Replica>| replica.ready.load(Ordering::Relaxed);
        let unready = in_turn().filter(|replica| !is_ready(replica));
        for replica in in_turn().filter(is_ready).chain(unready) {
            let connected =
                tokio::time::timeout(CONNECT_MAX, TcpStream::connect(replica.public)).await;
            if let Ok(Ok(server)) = connected {
                return Ok(server);
            }
        }
        bail!("no replica takes connections")
    }
}

fn parse_replica(text: &str) -> Result<(SocketAddr, SocketAddr)> {
    let (public, management) = text
        .split_once(',')
        .context("a replica is two addresses with a comma between")?;
    Ok((public.parse()?, management.parse()?))
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
