//! Two replicas with one node id.

use super::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::environment::free_port;
use crate::support::role::Role;
use crate::support::wait::LONG;

#[tokio::test]
async fn a_second_one_of_a_node_id_refuses_to_start_and_the_first_goes_on() {
    let mut fleet = Fleet::start(2, Plan::default()).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let own = vec![
        ("TRACKOPS_LINK_LISTEN", listen),
        ("TRACKOPS_NODE_ID", "order-b".into()),
    ];
    let before = fleet.admin(1, "cluster").await["me"].clone();
    let mut twin = Role::spawn(fleet.launch("order-twin", own));
    let status = twin.exit(LONG).await.expect("it refuses to start");
    assert!(!status.success());
    let log = twin.log();
    assert!(log.contains("node id order-b is in use"), "{log}");
    assert_eq!(fleet.admin(1, "cluster").await["me"], before);
    assert!(fleet.replica(1).is_running());
    let other = fleet.deployment.client.of_order(&fleet.url(1));
    let id = other.place(&order(), None).await.expect(201).id();
    assert_eq!(fleet.owner_of(0, id).await, 1);
}
