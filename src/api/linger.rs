//! The end of a connection whose client may still be sending. Closing then resets the connection, and the
//! reset can overtake the last answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::unread::DRAIN_BYTES_MAX;

/// How long a client may go on sending after an answer that ends the connection. A client that reads while it
/// sends stops within a round trip.
pub const LINGER_MAX: Duration = Duration::from_secs(1);

/// As much as a socket gives at once.
const LINGER_BUFFER_BYTES: usize = 16 * 1024;

/// Takes what a client sends after its answer, until the client has seen that this side is closed (RFC 9112,
/// 9.6).
pub async fn linger(stream: &mut TcpStream) {
    // The stream is usually shut down already, so an error means nothing.
    let _ = stream.shutdown().await;
    let mut taken = vec![0; LINGER_BUFFER_BYTES];
    let mut left = DRAIN_BYTES_MAX;
    let all = async {
        while let Ok(bytes @ 1..) = stream.read(&mut taken).await {
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER_MAX, all).await;
}
