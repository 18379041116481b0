//! Liveness, readiness, start and metrics, for orchestrators, on the management listener.

mod check_view;
mod get_livez;
mod get_metrics;
mod get_readyz;
mod get_startupz;
pub mod readiness;

pub use check_view::CheckView;
pub use get_livez::{__path_get_livez, AliveView, get_livez};
pub use get_metrics::{__path_get_metrics, get_metrics};
pub use get_readyz::{__path_get_readyz, ReadyView, get_readyz};
pub use get_startupz::{__path_get_startupz, get_startupz};
