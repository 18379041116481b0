//! Many WebSocket connections at once, from as many loopback addresses as their
//! number needs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use uuid::Uuid;

use super::Frame;

/// Linux has some 28,000 ephemeral ports for each pair of addresses.
const SOCKETS_PER_SOURCE: usize = 20_000;
/// Upgrades under way at once: the listen queue is 1,024 at most.
const CONNECTING_MAX: usize = 128;
/// Commands waiting to be written to one socket; senders wait past it.
const COMMANDS_MAX: usize = 1024;
/// tungstenite reserves 128 KiB a socket unless told.
const READ_BUFFER_BYTES: usize = 4 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// Who gets the frames.
pub trait Sink: Send + Sync + 'static {
    /// Called with each frame and the moment it was read.
    fn frame(&self, frame: &Frame<'_>, at: Instant);
}

/// Connected sockets; they close when this is dropped.
pub struct Fleet {
    commands: Vec<mpsc::Sender<Message>>,
    unreadable: Arc<AtomicU64>,
    sockets: JoinSet<()>,
}

impl Fleet {
    /// Connects `count` sockets to the server at `server`.
    pub async fn connect(server: SocketAddr, count: usize, sink: Arc<impl Sink>) -> Result<Self> {
        let connecting = (0..count).map(|number| connect_one(server, number));
        let streams: Vec<_> = stream::iter(connecting)
            .buffered(CONNECTING_MAX)
            .try_collect()
            .await
            .context("open WebSockets")?;
        let mut fleet = Self {
            commands: Vec::with_capacity(count),
            unreadable: Arc::default(),
            sockets: JoinSet::new(),
        };
        for stream in streams {
            let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
            fleet.commands.push(sender);
            fleet.sockets.spawn(serve_one(
                stream,
                receiver,
                Arc::clone(&sink),
                Arc::clone(&fleet.unreadable),
            ));
        }
        Ok(fleet)
    }

    /// Sends `text` on socket `number`, counted round.
    pub async fn send(&self, number: usize, text: String) -> Result<()> {
        let sender = &self.commands[number % self.commands.len()];
        sender
            .send(Message::text(text))
            .await
            .context("the server closed a WebSocket")
    }

    /// Fails if a socket has closed or a frame could not be read.
    pub fn check(&self) -> Result<()> {
        let closed = self
            .commands
            .iter()
            .filter(|sender| sender.is_closed())
            .count();
        ensure!(
            closed == 0,
            "the server closed {closed} of {} WebSockets",
            self.commands.len()
        );
        let unreadable = self.unreadable.load(Ordering::Relaxed);
        ensure!(unreadable == 0, "{unreadable} frames could not be read");
        Ok(())
    }

    /// Closes all sockets and waits until they are.
    pub async fn close(mut self) {
        self.commands.clear();
        while self.sockets.join_next().await.is_some() {}
    }
}

/// The command that follows an order from after version `since`.
pub fn subscribe(order: Uuid, since: u64) -> String {
    format!(r#"{{"type":"subscribe","orderId":"{order}","since":{since}}}"#)
}

/// The command that stops following an order.
pub fn unsubscribe(order: Uuid) -> String {
    format!(r#"{{"type":"unsubscribe","orderId":"{order}"}}"#)
}

async fn connect_one(server: SocketAddr, number: usize) -> Result<WebSocketStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if server.ip().is_loopback() {
        let host = u8::try_from(1 + number / SOCKETS_PER_SOURCE).context("too many sockets")?;
        socket.bind(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)),
            0,
        ))?;
    }
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let connect = async {
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{server}/api/v1/track");
        let (stream, _) =
            tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
        anyhow::Ok(stream)
    };
    tokio::time::timeout(CONNECT_MAX, connect)
        .await
        .with_context(|| format!("WebSocket {number}: no answer"))?
}

/// Ends when the commands end or the server closes.
async fn serve_one(
    mut stream: WebSocketStream<TcpStream>,
    mut commands: mpsc::Receiver<Message>,
    sink: Arc<impl Sink>,
    unreadable: Arc<AtomicU64>,
) {
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { break };
                if stream.send(command).await.is_err() {
                    return;
                }
            }
            message = stream.next() => {
                let at = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                        Ok(frame) => sink.frame(&frame, at),
                        Err(_) => drop(unreadable.fetch_add(1, Ordering::Relaxed)),
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                }
            }
        }
    }
    // The server may be going down too; nobody needs to know how the close went.
    let _ = stream.close(None).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::*;

    #[derive(Default)]
    struct Orders(Mutex<Vec<Uuid>>);

    impl Sink for Orders {
        fn frame(&self, frame: &Frame<'_>, _at: Instant) {
            self.0.lock().expect("no panic").extend(frame.order_id);
        }
    }

    /// Answers each message by an update of the same order.
    async fn answer_subscriptions(listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream)
                    .await
                    .expect("a handshake");
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    let answer = text.replace("subscribe", "update");
                    socket
                        .send(Message::text(answer))
                        .await
                        .expect("an open socket");
                }
            });
        }
    }

    #[tokio::test]
    async fn every_socket_subscribes_and_hears() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = listener.local_addr().expect("bound");
        tokio::spawn(answer_subscriptions(listener));
        let heard = Arc::new(Orders::default());
        let fleet = Fleet::connect(server, 20, Arc::clone(&heard))
            .await
            .expect("connected");
        let orders: Vec<_> = (0..20).map(|_| Uuid::new_v4()).collect();
        for (number, order) in orders.iter().enumerate() {
            fleet
                .send(number, subscribe(*order, 0))
                .await
                .expect("open");
        }
        let all = async {
            while heard.0.lock().expect("no panic").len() < 20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all)
            .await
            .expect("20 updates");
        fleet.check().expect("all open, all read");
        let mut seen = heard.0.lock().expect("no panic").clone();
        let mut wanted = orders;
        seen.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(seen, wanted);
        tokio::time::timeout(Duration::from_secs(10), fleet.close())
            .await
            .expect("closed");
    }
}
