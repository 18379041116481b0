//! Progress that kitchens and couriers report over Kafka, on the real binary: steps are taken, what
//! can't be understood is parked with its origin and reason, and the partition goes on.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::bodies::order;
use crate::support::deployment::{Deployment, Options};
use crate::support::wait::until;

/// A kitchen's producer.
struct Kitchen {
    producer: FutureProducer,
    topic: String,
}

impl Kitchen {
    /// Sends `payload` to the one partition that this test uses, and gives its offset.
    async fn report(&self, key: &str, payload: &str) -> i64 {
        let record = FutureRecord::to(&self.topic)
            .key(key)
            .payload(payload)
            .partition(0);
        let sent = self.producer.send(record, Duration::from_secs(20)).await;
        sent.expect("the broker takes it").offset
    }

    async fn step(&self, id: Uuid, status: &str) -> i64 {
        let report = json!({"orderId": id, "status": status, "by": "kitchen-1"});
        self.report(&id.to_string(), &report.to_string()).await
    }
}

#[tokio::test]
async fn reports_move_orders_and_what_makes_no_sense_is_parked() {
    let deployment = Deployment::start(Options::default()).await;
    let client = &deployment.client;
    let producer = ClientConfig::new()
        .set("bootstrap.servers", &deployment.kafka)
        .create()
        .expect("a producer");
    let kitchen = Kitchen {
        producer,
        topic: format!("{}FULFILLMENT_UPDATES", deployment.kafka_prefix),
    };
    let id = client.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;

    let unknown = Uuid::new_v4();
    let malformed = kitchen.report(&id.to_string(), "{\"orderId\":").await;
    let nobody = kitchen.step(unknown, "PREPARING").await;
    let no_status = kitchen.step(id, "BURNT").await;
    kitchen.step(id, "PREPARING").await;
    // A repeat is dropped.
    kitchen.step(id, "PREPARING").await;
    kitchen.step(id, "IN_TRANSIT").await;
    let moved = client.reaches(id, "IN_TRANSIT").await;
    assert_eq!(moved.version(), 4);
    let history = client.get(&format!("/api/v1/orders/{id}/history")).await;
    assert!(
        history.body.to_string().contains("kitchen-1"),
        "{history:#?}"
    );

    let url = format!("{}/admin/v1/dead-letters", client.to.order_management);
    let letters = until("three dead letters", || async {
        let list = client.fetch(&url).await.expect(200);
        let items = list.body["items"].as_array()?.clone();
        (items.len() >= 3).then_some(items)
    })
    .await;
    let mut origins: Vec<i64> = letters
        .iter()
        .filter_map(|l| l["origin"]["offset"].as_i64())
        .collect();
    origins.sort_unstable();
    assert_eq!(origins, [malformed, nobody, no_status], "{letters:#?}");
    for letter in &letters {
        let says = |field: &str| letter[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(
            says("code") && says("reason") && says("parkedAt"),
            "{letter:#?}"
        );
        assert_eq!(letter["origin"]["partition"], Value::from(0));
    }
}
