//! TCP connections in between that can be cut or turned into black holes: a listener that passes on to
//! another, and knows which process dials it.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::support::environment::free_port;

/// Read at once; a frame of a link is rarely longer.
const BUFFER_BYTES: usize = 16 * 1024;

/// How often a connection's process is looked up at most. The kernel's table of sockets can lack a row when
/// other sockets come and go while it is read.
const LOOK_UPS_MAX: usize = 20;

/// A listener before `to`. What goes through it ends when this is dropped.
pub struct Wire {
    /// Where to connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    to: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nobody gets through.
    cut: bool,
    /// These processes don't.
    refused: HashSet<u32>,
    /// What these send is taken, and forwarded no more than what is sent to them.
    stalled: HashSet<u32>,
    passing: Vec<Passing>,
}

/// A connection that passes now.
struct Passing {
    /// Whose it is.
    owner: u32,
    task: AbortHandle,
    /// Its bytes are taken and go nowhere.
    stalled: Arc<AtomicBool>,
}

impl Wire {
    /// Listens on a port that stays the same whatever happens to `to`.
    pub async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            to,
            state: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    /// Ends all connections and refuses new ones.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        state.cut = true;
        end(&mut state, |_| true);
    }

    /// Ends the connections of one process and refuses its new ones.
    pub fn cut_off(&self, pid: u32) {
        let mut state = self.shared.state();
        state.refused.insert(pid);
        end(&mut state, |passing| passing.owner == pid);
    }

    /// Turns the connections of one process, and its new ones, into black holes: they are open, take
    /// whatever is sent either way, and forward nothing.
    pub fn stall(&self, pid: u32) {
        let mut state = self.shared.state();
        state.stalled.insert(pid);
        for passing in &state.passing {
            if passing.owner == pid {
                passing.stalled.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Lets everybody through again. A black hole has swallowed part of its stream, so it ends.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.cut = false;
        state.refused.clear();
        state.stalled.clear();
        end(&mut state, |passing| {
            passing.stalled.load(Ordering::Relaxed)
        });
    }

    /// The processes that are connected.
    pub fn connected(&self) -> HashSet<u32> {
        let mut state = self.shared.state();
        state.passing.retain(|passing| !passing.task.is_finished());
        state.passing.iter().map(|passing| passing.owner).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        end(&mut self.shared.state(), |_| true);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(state: &mut State, which: impl Fn(&Passing) -> bool) {
    state.passing.retain(|passing| {
        let ends = which(passing);
        if ends {
            passing.task.abort();
        }
        !ends && !passing.task.is_finished()
    });
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let here = listener.local_addr().expect("bound").port();
    // One beside the other: a look-up takes long on a busy machine, and those that have hung up meanwhile must not
    // keep back those that dial again.
    let mut admitted = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, from)) = accepted else { break };
                admitted.spawn(admit(client, from.port(), here, Arc::clone(&shared)));
            }
            Some(_) = admitted.join_next() => {}
        }
    }
}

/// Passes a connection on, unless its process is to be kept out.
async fn admit(client: TcpStream, from: u16, here: u16, shared: Arc<Shared>) {
    let look_ups = move || (0..LOOK_UPS_MAX).find_map(|_| process_of(from, here));
    // Closed if nobody knows whose it is: it could be neither cut nor stalled. Its owner dials again.
    let Ok(Some(owner)) = tokio::task::spawn_blocking(look_ups).await else {
        return;
    };
    let mut state = shared.state();
    if state.cut || state.refused.contains(&owner) {
        return;
    }
    let stalled = Arc::new(AtomicBool::new(state.stalled.contains(&owner)));
    let task = tokio::spawn(pass(client, shared.to, Arc::clone(&stalled)));
    state.passing.push(Passing {
        owner,
        task: task.abort_handle(),
        stalled,
    });
}

async fn pass(mut client: TcpStream, to: SocketAddr, stalled: Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // An end or an error is either side's going away, which the other one sees.
    tokio::join!(
        forward(from_client, to_server, &stalled),
        forward(from_server, to_client, &stalled),
    );
}

/// Copies until there is no more, and then says so.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    stalled: &AtomicBool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if stalled.load(Ordering::Relaxed) {
            continue;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    if !stalled.load(Ordering::Relaxed) {
        let _ = to.shutdown().await;
    }
}

/// The process that has a connection from one port of loopback to another, as `/proc` tells it. Connections from the
/// same port to another one may be another process's.
fn process_of(from: u16, to: u16) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let (local, remote) = (format!("0100007F:{from:04X}"), format!("0100007F:{to:04X}"));
    let mut rows = table.lines().map(str::split_whitespace);
    let inode = rows.find_map(|mut fields| {
        (fields.nth(1)? == local && fields.next()? == remote)
            .then(|| fields.nth(6))
            .flatten()
            .filter(|inode| *inode != "0")
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"));
        files.is_ok_and(|files| {
            let mut links = files
                .flatten()
                .filter_map(|file| fs::read_link(file.path()).ok());
            links.any(|link| link.to_str() == Some(&wanted))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sends back whatever comes.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok()
    }

    #[tokio::test]
    async fn a_process_is_known_and_cut_off() {
        let wire = Wire::before(echo().await).await;
        let connect = || TcpStream::connect(wire.address);
        let mut stream = connect().await.expect("it listens");
        assert!(answers(&mut stream).await);
        assert_eq!(wire.connected(), HashSet::from([std::process::id()]));
        wire.cut_off(std::process::id());
        assert!(!answers(&mut stream).await);
        assert!(!answers(&mut connect().await.expect("it listens")).await);
        wire.mend();
        wire.cut_off(1);
        assert!(answers(&mut connect().await.expect("it listens")).await);
        wire.cut();
        assert!(!answers(&mut connect().await.expect("it listens")).await);
    }

    #[tokio::test]
    async fn a_black_hole_takes_everything_and_says_nothing() {
        let wire = Wire::before(echo().await).await;
        let connect = || TcpStream::connect(wire.address);
        let mut before = connect().await.expect("it listens");
        assert!(answers(&mut before).await);
        wire.stall(std::process::id());
        let mut during = connect().await.expect("it listens");
        for stream in [&mut before, &mut during] {
            let answer = tokio::time::timeout(Duration::from_millis(100), answers(stream)).await;
            assert!(answer.is_err(), "neither an answer nor an end");
        }
        wire.mend();
        assert!(!answers(&mut before).await, "it has missed a byte");
        assert!(answers(&mut connect().await.expect("it listens")).await);
    }
}
