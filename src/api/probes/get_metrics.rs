//! `GET /metrics`.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::api::error_answers::AnyErrors;

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "getMetrics",
    responses((status = 200, description = "Metrics", body = String,
        content_type = "text/plain; version=0.0.4"),
        AnyErrors)
)]
pub async fn get_metrics(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([kind], metrics.render())
}
