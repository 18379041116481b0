//! Servers of a test's own, to be stopped and started in the middle of it.

use std::path::Path;

use anyhow::Result;
use xtask::servers::{Launch, Scratch, Server};

/// A server that may be stopped without harm to other tests.
pub struct Own<L: Launch> {
    // Taken out while a blocking thread works on it.
    server: Option<Server<L>>,
    // Last: the folder goes after the server in it.
    _scratch: Scratch,
}

impl<L: Launch + 'static> Own<L> {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self::start_on(|_| Ok(())).await
    }

    /// The same, once `prepare` has been in its folder.
    pub async fn start_on(prepare: impl FnOnce(&Path) -> Result<()> + Send + 'static) -> Self {
        let (server, scratch) = blocking(|| {
            let scratch = Scratch::new(L::NAME).expect("a scratch folder");
            prepare(&scratch.path().join(L::NAME)).expect("prepare a server");
            let server = Server::start(&scratch.path().join(L::NAME), 0).expect("start a server");
            (server, scratch)
        })
        .await;
        Self {
            server: Some(server),
            _scratch: scratch,
        }
    }

    /// What a client is given.
    pub fn url(&self) -> String {
        self.server.as_ref().expect("not in use").url()
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.server.as_ref().expect("not in use").port()
    }

    /// The folder with its data and log.
    #[cfg(feature = "tls")]
    pub fn dir(&self) -> &Path {
        self.server.as_ref().expect("not in use").dir()
    }

    /// Ends it at once, as a crash of its machine would.
    pub async fn kill(&mut self) {
        self.with(|server| server.kill().expect("kill a server"))
            .await;
    }

    /// Ends it cleanly.
    pub async fn stop(&mut self) {
        self.with(|server| server.stop().expect("stop a server"))
            .await;
    }

    /// Starts it again on the same port and data.
    pub async fn restart(&mut self) {
        self.with(|server| server.restart().expect("start a server again"))
            .await;
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn pause(&self) {
        let server = self.server.as_ref().expect("not in use");
        server.pause().expect("pause a server");
    }

    /// Lets a frozen one go on.
    pub fn resume(&self) {
        let server = self.server.as_ref().expect("not in use");
        server.resume().expect("resume a server");
    }

    async fn with(&mut self, work: impl FnOnce(&mut Server<L>) + Send + 'static) {
        let mut server = self.server.take().expect("not in use");
        self.server = Some(
            blocking(move || {
                work(&mut server);
                server
            })
            .await,
        );
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("the work on a server doesn't panic")
}
