//! Plain data that ports, codecs and adapters share. It knows neither how it is stored or sent (`codec`)
//! nor who does that (`ports`).

pub mod access;
pub mod event_row;
pub mod order_answer;
pub mod order_request;
pub mod orders_error;
pub mod outbox_row;
pub mod position;
pub mod topic;
