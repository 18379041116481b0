//! Who asks.

use std::borrow::Cow;
use std::sync::Arc;

use super::action::Action;
use super::role::{Facts, Role};
use crate::ids::{CourierId, CustomerId};
use crate::status::Status;

/// Somebody whose identity was proven, with what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub subject: Subject,
    /// What it may do.
    pub role: Role,
    /// How that was proven.
    pub credential: Credential,
    /// `role:subject`.
    by: Arc<str>,
}

/// How a principal has proven who it is. A tracking link proves nobody: it opens one order's reduced view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Not at all: nobody has to.
    None,
    /// By an API key.
    ApiKey,
    /// By an access token of an OIDC issuer.
    AccessToken,
}

impl Credential {
    /// The kind of credential by which `issuer` vouches.
    fn of(issuer: &str) -> Self {
        match issuer {
            "" => Self::None,
            KEY_ISSUER => Self::ApiKey,
            _ => Self::AccessToken,
        }
    }
}

/// Who vouches for the names of API keys. The issuer of an access token is a URL, and can't be this.
pub const KEY_ISSUER: &str = "trackops";

/// The name of a principal, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who vouches for the name: [`KEY_ISSUER`], or the URL of an OIDC issuer; empty for nobody. Two issuers may give the same name to different people.
    pub issuer: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Principal {
    /// Somebody of that name with that role.
    pub fn new(subject: Subject, role: Role) -> Self {
        let by = format!("{}:{}", role.name(), subject.name).into();
        let credential = Credential::of(&subject.issuer);
        Self {
            subject,
            role,
            credential,
            by,
        }
    }
}

/// On whose behalf something is asked of an order. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// TrackOps itself, or a message from the bus: its name in the history. It may do what the order's
    /// status allows.
    Internal(Arc<str>),
    /// Somebody at the API.
    Principal(Arc<Principal>),
}

impl Caller {
    /// Everybody, where nobody has to prove an identity: the service `anonymous`, for whom nobody vouches.
    pub fn anonymous() -> Self {
        let subject = Subject {
            issuer: "".into(),
            name: "anonymous".into(),
        };
        Principal::new(subject, Role::Service).into()
    }

    /// The name in events and history: `role:subject`, or the name of a part of TrackOps.
    pub fn by(&self) -> &Arc<str> {
        match self {
            Self::Internal(name) => name,
            Self::Principal(principal) => &principal.by,
        }
    }

    /// See [`Role::may`]. Where nobody has to prove an identity, everybody may also do what operations do.
    pub fn may(&self, action: Action) -> bool {
        self.is_anonymous() || self.role().is_none_or(|role| role.may(action))
    }

    /// Whether it is everybody.
    pub fn is_anonymous(&self) -> bool {
        self.credential() == Some(Credential::None)
    }

    /// Whether the caller may place an order for `customer`.
    pub fn may_place_for(&self, customer: CustomerId) -> bool {
        match self.role() {
            Some(Role::Customer(own)) => *own == customer,
            _ => self.may(Action::Place),
        }
    }

    /// See [`Role::sees`].
    pub fn sees(&self, facts: Facts<'_>) -> bool {
        self.role().is_none_or(|role| role.sees(facts))
    }

    /// See [`Role::may_step`].
    pub fn may_step(&self, from: Status, to: Status) -> bool {
        self.role().is_none_or(|role| role.may_step(from, to))
    }

    /// See [`Role::may_name`].
    pub fn may_name(&self, courier: &CourierId) -> bool {
        self.role().is_none_or(|role| role.may_name(courier))
    }

    /// See [`Role::ever_steps_to`].
    pub fn ever_steps_to(&self, to: Status) -> bool {
        self.role().is_none_or(|role| role.ever_steps_to(to))
    }

    /// The steps that a client with these rights may take from `status`.
    pub fn steps_from(&self, status: Status) -> Vec<Status> {
        let steps = status.client_steps().iter().copied();
        steps.filter(|step| self.may_step(status, *step)).collect()
    }

    /// Whether the caller sees some orders only.
    pub fn is_scoped(&self) -> bool {
        self.role().is_some_and(Role::is_scoped)
    }

    /// Who it is; `None` for TrackOps itself.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Internal(_) => None,
            Self::Principal(principal) => Some(&principal.subject),
        }
    }

    /// How it was proven; `None` for TrackOps itself.
    pub fn credential(&self) -> Option<Credential> {
        match self {
            Self::Internal(_) => None,
            Self::Principal(principal) => Some(principal.credential),
        }
    }

    /// The name in the audit: as in the history, and for an access token the issuer too. The names of two issuers,
    /// and of keys, may be equal.
    pub fn audited(&self) -> Cow<'_, str> {
        match (self.credential(), self.subject()) {
            (Some(Credential::AccessToken), Some(subject)) => {
                Cow::Owned(format!("{} ({})", self.by(), subject.issuer))
            }
            _ => Cow::Borrowed(self.by()),
        }
    }

    /// The role; `None` for TrackOps itself.
    pub fn role(&self) -> Option<&Role> {
        match self {
            Self::Internal(_) => None,
            Self::Principal(principal) => Some(&principal.role),
        }
    }
}

impl From<Principal> for Caller {
    fn from(principal: Principal) -> Self {
        Self::Principal(Arc::new(principal))
    }
}
