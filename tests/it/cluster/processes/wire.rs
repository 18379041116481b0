//! TCP connections in between that can be cut: a listener that passes on to another, and knows which
//! process dials it.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use crate::support::environment::free_port;

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
    /// What passes now, and whose it is.
    passing: Vec<(Option<u32>, AbortHandle)>,
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
        end(&mut state, |owner| owner == Some(pid));
    }

    /// Lets everybody through again.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.cut = false;
        state.refused.clear();
    }

    /// The processes that are connected.
    pub fn connected(&self) -> HashSet<u32> {
        let mut state = self.shared.state();
        state.passing.retain(|(_, task)| !task.is_finished());
        state
            .passing
            .iter()
            .filter_map(|(owner, _)| *owner)
            .collect()
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

fn end(state: &mut State, which: impl Fn(Option<u32>) -> bool) {
    state.passing.retain(|(owner, task)| {
        let ends = which(*owner);
        if ends {
            task.abort();
        }
        !ends && !task.is_finished()
    });
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut client, from)) = listener.accept().await {
        let owner = tokio::task::spawn_blocking(move || process_of(from.port())).await;
        let owner = owner.ok().flatten();
        let mut state = shared.state();
        if state.cut || owner.is_some_and(|owner| state.refused.contains(&owner)) {
            continue;
        }
        let to = shared.to;
        let task = tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(to).await {
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                // An error is either side's going away, which the other one sees.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        state.passing.push((owner, task.abort_handle()));
    }
}

/// The process that has a connection from this port of loopback, as `/proc` tells it.
fn process_of(port: u16) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let local = format!("0100007F:{port:04X}");
    let mut rows = table.lines().map(str::split_whitespace);
    let inode = rows.find_map(|mut fields| {
        (fields.nth(1)? == local)
            .then(|| fields.nth(7))
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
}
