//! Routes together with their document, so that a listener's document has what the listener serves and nothing
//! else.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::guard;

/// Routes whose state is there, and what the OpenAPI document says of them.
#[derive(Clone)]
pub struct Served {
    router: Router,
    document: OpenApi,
}

impl Default for Served {
    /// No routes.
    fn default() -> Self {
        Self::new(OpenApiRouter::<()>::new(), ())
    }
}

impl Served {
    /// `routes` on `state`.
    pub fn new<S: Clone + Send + Sync + 'static>(routes: OpenApiRouter<S>, state: S) -> Self {
        let (handlers, document) = guard::checked(routes);
        Self {
            router: handlers.with_state(state),
            document,
        }
    }

    /// The routes of both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            router: self.router.merge(other.router),
            document: self.document.merge_from(other.document),
        }
    }

    /// The document of the routes.
    pub fn document(&self) -> &OpenApi {
        &self.document
    }

    /// The routes alone.
    pub fn into_router(self) -> Router {
        self.router
    }
}
