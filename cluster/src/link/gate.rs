//! How the stream of an accepted connection tells the connection where it stands. Leaves what follows from
//! it to [`super::acceptor`].

use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    pub authenticated: CancellationToken,
    pub over: CancellationToken,
}
