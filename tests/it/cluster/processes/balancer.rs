//! A round-robin proxy in front of the replicas, as the one of the load tests is: each connection goes
//! to the next replica that says it is ready. Dropped, it is gone with its connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::http::{Ask, Http};

/// As often as the proxy of the load tests.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A running proxy.
pub struct Balancer {
    /// Where clients connect.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Replica {
    public: String,
    management: String,
    ready: AtomicBool,
}

impl Balancer {
    /// Before these, each by its public and its management address.
    pub async fn before(addresses: Vec<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut tasks = JoinSet::new();
        let replica = |(public, management)| {
            Arc::new(Replica {
                public,
                management,
                ready: AtomicBool::new(false),
            })
        };
        let replicas: Arc<[_]> = addresses.into_iter().map(replica).collect();
        for replica in &*replicas {
            tasks.spawn(ask(Arc::clone(replica)));
        }
        tasks.spawn(serve(listener, replicas));
        Self {
            address,
            _tasks: tasks,
        }
    }
}

async fn ask(replica: Arc<Replica>) {
    loop {
        let mut http = Http::new(&replica.management);
        let asked = tokio::time::timeout(ANSWER_MAX, http.send(Ask::get("/readyz"))).await;
        let ready = matches!(asked, Ok(Ok(answer)) if answer.status == 200);
        replica.ready.store(ready, Ordering::Relaxed);
        // The pace of a proxy.
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn serve(listener: TcpListener, replicas: Arc<[Arc<Replica>]>) {
    let next = AtomicUsize::new(0);
    let mut passing = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        while passing.try_join_next().is_some() {}
        let replicas = Arc::clone(&replicas);
        let first = next.fetch_add(1, Ordering::Relaxed);
        passing.spawn(async move {
            if let Some(mut server) = connect(&replicas, first).await {
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                // An error is either side's going away, which the other one sees.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

async fn connect(replicas: &[Arc<Replica>], first: usize) -> Option<TcpStream> {
    let turn = (0..replicas.len()).map(|n| &replicas[(first + n) % replicas.len()]);
    let (ready, unready): (Vec<_>, Vec<_>) =
        turn.partition(|replica| replica.ready.load(Ordering::Relaxed));
    for replica in ready.into_iter().chain(unready) {
        if let Ok(server) = TcpStream::connect(&replica.public).await {
            return Some(server);
        }
    }
    None
}
