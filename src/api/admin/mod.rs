//! What operations sees and does, under `/admin/v1` of the management listener.

pub mod dead_letter_desk;
mod dead_letters;
mod get_actor;
mod get_outbox;
mod release_actor;

pub use dead_letters::{
    __path_get_dead_letter, __path_list_dead_letters, __path_send_dead_letter, DeadLetterList,
    DeadLetterView, OriginView, SentView, get_dead_letter, list_dead_letters, send_dead_letter,
};
pub use get_actor::{__path_get_actor, ActorView, LastErrorView, get_actor};
pub use get_outbox::{__path_get_outbox, OutboxList, OutboxView, get_outbox};
pub use release_actor::{__path_release_actor, ReleasedView, release_actor};
