//! Tasks that a replica can't do without. One that panics takes nobody with it: what it did is simply
//! never done again, while the process looks well. Its [`Guard`] tells.

use tokio_util::sync::CancellationToken;

/// Hands out guards and hears of those that were lost.
#[derive(Clone, Debug, Default)]
pub struct Vital(CancellationToken);

/// Held by a task; dropped before the task was told to stop, it raises the alarm.
#[derive(Debug)]
pub struct Guard {
    name: &'static str,
    alarm: CancellationToken,
    stop: CancellationToken,
}

impl Vital {
    /// For the task `name`, which may end once `stop` is cancelled.
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
    /// Runs `task` and ends with it.
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
