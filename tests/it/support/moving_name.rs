//! A name that is moved from one server to another, as a failover moves it: an address whose new connections
//! go where it leads then, while those that there are stay where they are.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Leads nowhere any more once it is dropped.
pub struct MovingName {
    /// The name.
    pub address: SocketAddr,
    leads_to: watch::Sender<SocketAddr>,
    accepting: AbortHandle,
}

impl MovingName {
    /// Leads to `server`.
    pub async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (leads_to, now) = watch::channel(server);
        let accepting = tokio::spawn(accept(listener, now)).abort_handle();
        Self {
            address,
            leads_to,
            accepting,
        }
    }

    /// Leads to `server` from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        self.leads_to.send_replace(server);
    }
}

impl Drop for MovingName {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, leads_to: watch::Receiver<SocketAddr>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let server = *leads_to.borrow();
        tokio::spawn(async move {
            // A server that isn't there closes the connection; so does the end of either side.
            if let Ok(mut far) = TcpStream::connect(server).await {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
