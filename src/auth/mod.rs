//! Who somebody is: checks credentials and says which caller they prove, and keeps what was denied. Leaves
//! finding the credential in a request to `api`, and what a caller may do to `domain`.

pub mod api_key;
pub mod audit;
mod ending;
mod identify;
pub mod key_cache;
mod proven;
mod refusal;
pub mod role_words;
mod token_fault;
pub mod tokens;
pub mod tracking_links;

pub use self::ending::Ending;
pub use self::identify::Auth;
pub use self::proven::Proven;
pub use self::refusal::Refusal;
pub use self::token_fault::TokenFault;
