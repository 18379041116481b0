//! A request that nobody is known to make. [`super::service`] puts it there instead of the caller.

use super::problem::Problem;

/// Why a request has no caller: its credential was refused, or there is none.
#[derive(Clone, Debug)]
pub struct Unknown(pub Problem);
