//! Ends a replica within a limit: first the admitted messages, then actors and writer, then the ownership.

use std::time::Duration;

use tokio::time::Instant;

use super::running_node::Node;

impl Node {
    /// Finishes the admitted messages, for at most three quarters of `limit`, then ends the actors and the
    /// writer and gives up the shards. No command may be sent any more.
    pub async fn shut_down(&self, limit: Duration) {
        let end = Instant::now() + limit;
        // The last quarter is for telling the authority, which spares the next owner the wait for the lease.
        let deadline = end - limit / 4;
        while self.context.admission.waiting() > 0 && Instant::now() < deadline {
            // Nothing signals the last permit, on purpose: a permit is on every command's path.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the writer did not finish in time");
        }
        self.supervisor.stop(None);
        if let Err(error) = self.context.ownership.leave(end).await {
            tracing::warn!(%error, "shards not given up: they are free when the lease ends");
        }
    }
}
