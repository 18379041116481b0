//! Tasks that a replica can't do without. A task that panics doesn't stop the process: its work is never
//! done again while the process looks healthy. The task's [`Guard`] raises an alarm. Leaves the reaction
//! to the owner of the [`Vital`].

use tokio_util::sync::CancellationToken;

/// Hands out guards, and waits for the alarm of a lost task.
#[derive(Clone, Debug, Default)]
pub struct Vital(CancellationToken);

/// A task holds it. If it is dropped before the task was told to stop, it raises the alarm.
#[derive(Debug)]
pub struct Guard {
    name: &'static str,
    alarm: CancellationToken,
    stop: CancellationToken,
}

impl Vital {
    /// A guard for the task `name`, which may end once `stop` is cancelled.
    pub fn guard(&self, name: &'static str, stop: &CancellationToken) -> Guard {
        Guard {
            name,
            alarm: self.0.clone(),
            stop: stop.clone(),
        }
    }

    /// Waits until a task has ended that should not have.
    pub async fn lost(&self) {
        self.0.cancelled().await;
    }
}

impl Guard {
    /// Runs `task`, and drops the guard when it ends or panics.
    pub async fn over(self, task: impl Future<Output = ()>) {
        task.await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(
                task = self.name,
                "a task has ended that this replica can't do without"
            );
            self.alarm.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_raises_the_alarm_and_an_end_in_time_does_not() {
        let (vital, stop) = (Vital::default(), CancellationToken::new());
        stop.cancel();
        vital.guard("told to stop", &stop).over(async {}).await;
        assert!(!vital.0.is_cancelled());
        let going_on = CancellationToken::new();
        let task = vital.guard("panics", &going_on).over(async {
            panic!("on purpose");
        });
        assert!(tokio::spawn(task).await.is_err());
        vital.lost().await;
    }
}
