//! Tells an accepted connection when its stream is authenticated and when it is over. Leaves what follows
//! from it to [`super::acceptor`].

use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    pub authenticated: CancellationToken,
    pub over: CancellationToken,
}
