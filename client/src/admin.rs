//! The calls of a management address.

use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::admin_views::{
    ActorView, ClusterView, DeadLetter, DeadLetterId, DrainView, OutboxView, ReleasedView,
    SagaView, SentView, ShardList, ShardView,
};
use super::answer::Answer;
use super::client::Client;
use super::error::Error;
use super::page::{Page, PageRequest};
use super::transport::Ask;

/// A client of a role's management address; of `trackops dev` that is its only address, unless it was given two.
/// A role refuses the calls that it has nothing to say to with 404.
#[derive(Clone, Debug)]
pub struct Admin(Client);

#[derive(Deserialize)]
struct Outboxes {
    items: Vec<OutboxView>,
}

impl From<Client> for Admin {
    fn from(client: Client) -> Self {
        Self(client)
    }
}

impl Admin {
    /// A client of the management address `url`, with the settings of [`Client::builder`].
    pub fn new(url: &str) -> Result<Self, Error> {
        Client::new(url).map(Self)
    }

    /// The server's URL, without user and password.
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// A page of dead letters, of `topic` (without `.dlq`) or of all, by topic, partition and offset.
    pub async fn dead_letters(
        &self,
        topic: Option<&str>,
        page: &PageRequest,
    ) -> Result<Answer<Page<DeadLetter>>, Error> {
        let mut url = self.join(&["dead-letters"]);
        let limit = page.limit.map(|limit| ("limit", limit.to_string()));
        let cursor = page.cursor.as_ref().map(|cursor| ("cursor", cursor));
        url.query_pairs_mut()
            .extend_pairs(limit)
            .extend_pairs(topic.map(|topic| ("topic", topic)))
            .extend_pairs(cursor);
        self.0.read(url).await
    }

    /// One dead letter.
    pub async fn dead_letter(&self, id: &DeadLetterId) -> Result<Answer<DeadLetter>, Error> {
        self.0.read(self.letter(id, None)).await
    }

    /// Publishes a dead letter to its topic again. It is sent once: whether a lost answer means that the bus
    /// has it, only the list can tell.
    pub async fn resend_dead_letter(&self, id: &DeadLetterId) -> Result<Answer<SentView>, Error> {
        let ask = Ask::action(self.letter(id, Some("send")), false);
        self.0.transport().ask_json(ask).await
    }

    /// An order's actor.
    pub async fn actor(&self, order: Uuid) -> Result<Answer<ActorView>, Error> {
        let order = order.to_string();
        self.0.read(self.join(&["actors", &order])).await
    }

    /// Releases an order from its quarantine.
    pub async fn release_actor(&self, order: Uuid) -> Result<Answer<ReleasedView>, Error> {
        let url = self.join(&["actors", &order.to_string(), "release"]);
        self.0.transport().ask_json(Ask::action(url, true)).await
    }

    /// The replicas, and the links of the one that is asked.
    pub async fn cluster(&self) -> Result<Answer<ClusterView>, Error> {
        self.0.read(self.join(&["cluster"])).await
    }

    /// Has a replica give its shards to the others. Returns before they have moved.
    pub async fn drain(&self, node: &str) -> Result<Answer<DrainView>, Error> {
        let url = self.join(&["cluster", "nodes", node, "drain"]);
        self.0.transport().ask_json(Ask::action(url, true)).await
    }

    /// Every shard.
    pub async fn shards(&self) -> Result<Answer<ShardList>, Error> {
        self.0.read(self.join(&["shards"])).await
    }

    /// One shard.
    pub async fn shard(&self, number: u16) -> Result<Answer<ShardView>, Error> {
        let number = number.to_string();
        self.0.read(self.join(&["shards", &number])).await
    }

    /// A page of the orders that wait for inventory, the longest waiting first; with `only_stuck`, of those that
    /// wait for too long.
    pub async fn sagas(
        &self,
        only_stuck: bool,
        page: &PageRequest,
    ) -> Result<Answer<Page<SagaView>>, Error> {
        let mut url = self.join(&["sagas"]);
        url.query_pairs_mut()
            .extend_pairs(only_stuck.then_some(("state", "stuck")))
            .extend_pairs(page.pairs());
        self.0.read(url).await
    }

    /// How much waits in the outboxes.
    pub async fn outboxes(&self) -> Result<Answer<Vec<OutboxView>>, Error> {
        let answer: Answer<Outboxes> = self.0.read(self.join(&["outbox"])).await?;
        let outboxes = answer.value.items.clone();
        Ok(answer.with(outboxes))
    }

    fn letter(&self, id: &DeadLetterId, action: Option<&str>) -> Url {
        let (partition, offset) = (id.partition.to_string(), id.offset.to_string());
        let mut segments = vec!["dead-letters", &*id.topic, &partition, &offset];
        segments.extend(action);
        self.join(&segments)
    }

    fn join(&self, below: &[&str]) -> Url {
        let mut segments = vec!["admin", "v1"];
        segments.extend(below);
        self.0.join(&segments)
    }
}
