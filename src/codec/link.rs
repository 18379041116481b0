//! The protocol between replicas: requests, answers and messages about orders, as versioned JSON.
//!
//! Every text is `{"v": 1, "kind": …, "body": …}`. Within a version fields are only added, and only such as
//! an older reader may ignore. A reader refuses an unknown kind by name, and the sender goes on without it.
//! Whole orders travel in their stored forms.

mod answer;
mod caller;
mod envelope;
mod error;
mod message;
mod order;
mod request;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use envelope::LinkFormError;
pub use message::Message;
pub use request::{Request, Subscriber};
