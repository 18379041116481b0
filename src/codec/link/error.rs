//! Refusals and failures on a link.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trackops_domain::decide::Rejection;
use trackops_domain::ids::Version;

use super::envelope::LinkFormError;
use super::order::status;
use crate::model::orders_error::{Full, OrdersError};

/// When to come back if the answer doesn't say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorV1 {
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// What is full, if it isn't the whole replica; earlier versions don't know this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full: Option<String>,
    /// For logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl ErrorV1 {
    pub(super) fn of(error: &OrdersError) -> Self {
        let plain = |code: &str| Self {
            code: code.into(),
            ..Self::default()
        };
        let millis = |after: &Duration| u64::try_from(after.as_millis()).ok();
        match error {
            OrdersError::NotFound => plain("notFound"),
            OrdersError::Hidden => plain("hidden"),
            OrdersError::Rejected(rejection) => Self {
                current: Some(rejection.current.as_str().into()),
                wanted: Some(rejection.wanted.as_str().into()),
                ..plain("rejected")
            },
            // A replica that doesn't know this code treats it as an error that may pass.
            OrdersError::Forbidden { current, wanted } => Self {
                current: Some(current.as_str().into()),
                wanted: Some(wanted.as_str().into()),
                ..plain("forbidden")
            },
            OrdersError::PreconditionFailed { current } => Self {
                version: Some(current.0),
                ..plain("preconditionFailed")
            },
            OrdersError::KeyReused => plain("keyReused"),
            OrdersError::NotInTransit { status } => Self {
                current: Some(status.as_str().into()),
                ..plain("notInTransit")
            },
            OrdersError::Quarantined => plain("quarantined"),
            OrdersError::Restarted => plain("restarted"),
            OrdersError::Overloaded { full, retry_after } => Self {
                full: (*full != Full::Replica).then(|| full.as_str().into()),
                retry_after_ms: millis(retry_after),
                ..plain("overloaded")
            },
            OrdersError::Broken { why } => Self {
                why: Some((*why).into()),
                ..plain("broken")
            },
            OrdersError::NotOwner => plain("notOwner"),
            // A replica that doesn't know this code treats it as an error that may pass.
            OrdersError::LeaseOver => plain("leaseOver"),
            OrdersError::Unavailable { why, retry_after }
            | OrdersError::OwnerUnavailable { why, retry_after } => Self {
                why: Some((*why).into()),
                retry_after_ms: millis(retry_after),
                ..plain("unavailable")
            },
        }
    }

    /// The error. An unknown one counts as an error that may pass.
    pub(super) fn read(self) -> Result<OrdersError, LinkFormError> {
        let missing = LinkFormError::Impossible("error");
        let current = self.current.as_deref().map(status).transpose()?;
        let retry_after = self
            .retry_after_ms
            .map_or(RETRY_AFTER, Duration::from_millis);
        if let Some(why) = &self.why {
            tracing::debug!(code = self.code, why, "the order's owner refuses");
        }
        Ok(match self.code.as_str() {
            "notFound" => OrdersError::NotFound,
            "hidden" => OrdersError::Hidden,
            code @ ("rejected" | "forbidden") => {
                let wanted = self.wanted.as_deref().map(status).transpose()?;
                let (Some(current), Some(wanted)) = (current, wanted) else {
                    return Err(missing);
                };
                match code {
                    "forbidden" => OrdersError::Forbidden { current, wanted },
                    _ => OrdersError::Rejected(Rejection { current, wanted }),
                }
            }
            "preconditionFailed" => OrdersError::PreconditionFailed {
                current: Version(self.version.ok_or(missing)?),
            },
            "keyReused" => OrdersError::KeyReused,
            "notInTransit" => OrdersError::NotInTransit {
                status: current.ok_or(missing)?,
            },
            "quarantined" => OrdersError::Quarantined,
            "restarted" => OrdersError::Restarted,
            "overloaded" => OrdersError::Overloaded {
                full: self
                    .full
                    .as_deref()
                    .and_then(Full::parse)
                    .unwrap_or(Full::Replica),
                retry_after,
            },
            "broken" => OrdersError::Broken {
                why: "its owner can't read or store it",
            },
            "notOwner" => OrdersError::NotOwner,
            "leaseOver" => OrdersError::LeaseOver,
            _ => OrdersError::Unavailable {
                why: "the order's owner can't answer now",
                retry_after,
            },
        })
    }
}
