//! Order replicas of one deployment that share its shards. Each start is on fresh ports, as that of a
//! container would be: the others learn them from the membership.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::role::free_address;
use super::{ClusterView, Deployment, Role, scalar};

/// A newcomer's share moves within seconds; a move that was put off is tried again after three.
const BALANCED_MAX: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Names go by letters.
const REPLICAS_MAX: usize = 26;

/// The replicas, by number. Their node ids are order-a, order-b and so on.
pub struct Replicas<'a> {
    deployment: &'a Deployment<'a>,
    secret: String,
    shards: u64,
    /// `None` while it is down.
    places: Vec<Option<Role>>,
}

impl<'a> Replicas<'a> {
    /// Starts `count` replicas and waits until each has its share.
    pub async fn start(deployment: &'a Deployment<'a>, count: usize) -> Result<Self> {
        let shards = scalar(&deployment.orders_url, "SELECT count(*) FROM shards").await?;
        let mut replicas = Self {
            deployment,
            secret: format!("{:032x}", rand::random::<u128>()),
            shards,
            places: Vec::new(),
        };
        for number in 0..count {
            replicas.bring_up(number).await?;
        }
        replicas.balanced().await?;
        Ok(replicas)
    }

    /// Starts the replica `number`, which is down or new, and waits until it is ready.
    pub async fn bring_up(&mut self, number: usize) -> Result<()> {
        ensure!(number < REPLICAS_MAX, "no letter for replica {number}");
        if self.places.len() <= number {
            self.places.resize_with(number + 1, || None);
        }
        let letter = char::from(b'a' + u8::try_from(number)?);
        let name = format!("order-{letter}");
        let link = free_address()?.to_string();
        let extra = [
            ("TRACKOPS_NODE_ID", name.as_str()),
            ("TRACKOPS_LINK_SECRET", &self.secret),
            ("TRACKOPS_LINK_LISTEN", &link),
        ];
        let role = self.deployment.start_as("order", &name, &extra).await?;
        self.places[number] = Some(role);
        Ok(())
    }

    /// Replica `number`, which must be up.
    pub fn get(&self, number: usize) -> Result<&Role> {
        let place = self.places.get(number).and_then(Option::as_ref);
        place.with_context(|| format!("replica {number} is down"))
    }

    /// Takes replica `number` out, to be stopped or killed.
    pub fn take(&mut self, number: usize) -> Result<Role> {
        let place = self.places.get_mut(number).and_then(Option::take);
        place.with_context(|| format!("replica {number} is down"))
    }

    /// All that are up.
    pub fn up(&self) -> Vec<&Role> {
        self.places.iter().flatten().collect()
    }

    /// Waits until each replica sees all shards spread over those that are up.
    pub async fn balanced(&self) -> Result<()> {
        let deadline = Instant::now() + BALANCED_MAX;
        let up = self.up();
        for role in &up {
            loop {
                let view = ClusterView::read(role).await?;
                if view.is_balanced(up.len(), self.shards) {
                    break;
                }
                ensure!(
                    Instant::now() < deadline,
                    "{} doesn't see {} shards spread over {} replicas after {BALANCED_MAX:?}: {view:?}",
                    role.name,
                    self.shards,
                    up.len()
                );
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Asks all to end, one after the other.
    pub async fn stop(self) -> Result<()> {
        for role in self.places.into_iter().flatten() {
            role.stop().await?;
        }
        Ok(())
    }
}
