//! A TCP proxy that can stop forwarding without closing anything, as a frozen host does.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub struct Proxy {
    pub address: String,
    frozen: Arc<watch::Sender<bool>>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("bind: {error}"));
        let address = listener.local_addr().map(|address| address.to_string());
        let frozen = Arc::new(watch::Sender::new(false));
        let (target, gate) = (target.to_owned(), Arc::clone(&frozen));
        let task = tokio::spawn(async move {
            let mut forwards = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else {
                    continue;
                };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                forwards.spawn(forward(near_in, far_out, gate.subscribe()));
                forwards.spawn(forward(far_in, near_out, gate.subscribe()));
            }
        });
        Self {
            address: address.unwrap_or_default(),
            frozen,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut frozen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut buffer).await else {
            return;
        };
        if frozen.wait_for(|frozen| !frozen).await.is_err() || count == 0 {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
