//! Opens the WebSocket of a server.

use std::time::Duration;

use hyper::header::AUTHORIZATION;
use hyper::{Request, Uri};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::Client;
use crate::dial::Stream;
use crate::error::{Error, root_cause};
use crate::problem::Problem;

/// Time limit for connection and upgrade.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest message: several times the largest snapshot (about 25 KiB).
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// An open socket.
pub type Socket = WebSocketStream<Stream>;

/// Connects and upgrades.
pub async fn open(client: &Client) -> Result<Socket, Error> {
    match timeout(OPEN_TIMEOUT, connect(client)).await {
        Ok(opened) => opened,
        Err(_) => Err(Error::NoAnswer {
            url: client.url().into(),
            was_sent: true,
            cause: format!("no answer within {} s", OPEN_TIMEOUT.as_secs()),
        }),
    }
}

async fn connect(client: &Client) -> Result<Socket, Error> {
    let failed = |error: &(dyn std::error::Error + 'static)| Error::NoAnswer {
        url: client.url().into(),
        was_sent: false,
        cause: root_cause(error),
    };
    let url = client.join(&["api", "v1", "track"]);
    let uri: Uri = url.as_str().parse().map_err(|error| failed(&error))?;
    // `ws` is to `http` what `wss` is to `https`.
    let live = url.as_str().replacen("http", "ws", 1);
    let request = request(client, &live).map_err(|error| failed(&error))?;
    let stream = client.transport().dialer().dial(uri).await;
    let stream = stream.map_err(|error| failed(&*error))?;
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MESSAGE_BYTES_MAX);
    config.max_frame_size = Some(MESSAGE_BYTES_MAX);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(SocketError::Http(answer)) => {
            let status = answer.status().as_u16();
            let body = answer.body().as_deref().unwrap_or_default();
            Err(match Problem::parse(body, status) {
                Some(problem) => Error::Refused(Box::new(problem)),
                None => Error::foreign(&live, status, b"no WebSocket"),
            })
        }
        Err(error) => Err(failed(&error)),
    }
}

fn request(client: &Client, url: &str) -> Result<Request<()>, SocketError> {
    let mut request = url.into_client_request()?;
    if let Some(authorization) = client.transport().address().authorization() {
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}
