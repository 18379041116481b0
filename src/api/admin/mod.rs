//! What operations sees and does, under `/admin/v1` of the management listener.

mod access_admin;
pub mod cluster_admin;
pub mod dead_letter_admin;
mod dead_letters;
mod drain_node;
mod get_actor;
mod get_cluster;
mod get_outbox;
mod get_shard;
mod keys;
mod list_audit;
mod list_sagas;
mod list_shards;
mod private;
mod release_actor;
mod saga_admin;

pub use access_admin::AccessAdmin;
pub use dead_letters::{
    __path_get_dead_letter, __path_list_dead_letters, __path_send_dead_letter, DeadLetterList,
    DeadLetterView, OriginView, SentView, get_dead_letter, list_dead_letters, send_dead_letter,
};
pub use drain_node::{__path_drain_node, DrainView, drain_node};
pub use get_actor::{__path_get_actor, ActorView, LastErrorView, get_actor};
pub use get_cluster::{
    __path_get_cluster, ClusterView, LinkView, NodeLifeView, NodeView, get_cluster,
};
pub use get_outbox::{__path_get_outbox, OutboxList, OutboxView, get_outbox};
pub use get_shard::{__path_get_shard, get_shard};
pub use keys::{
    __path_list_keys, __path_make_key, __path_revoke_key, KeyPage, KeyView, MadeKey, list_keys,
    make_key, revoke_key,
};
pub use list_audit::{__path_list_audit, AuditPage, AuditView, list_audit};
pub use list_sagas::{__path_list_sagas, SagaList, SagaView, list_sagas};
pub use list_shards::{
    __path_list_shards, LocalShardView, NodeShardsView, ShardList, ShardView, list_shards,
};
pub use release_actor::{__path_release_actor, ReleasedView, release_actor};
pub use saga_admin::SagaAdmin;
