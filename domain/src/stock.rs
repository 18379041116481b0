//! The stock ledger: all-or-nothing reservations over many items. Pure: the adapter locks and loads the
//! items, and stores what the ledger decides. A whole batch is decided in [`batch`], a client's write of an
//! item in [`item`].

pub mod batch;
pub mod item;
pub mod record;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::ids::Sku;

/// The quantities of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In the house, reserved or not.
    pub on_hand: u64,
    /// Promised to orders.
    pub reserved: u64,
}

impl Level {
    /// The quantity that may still be promised.
    pub const fn available(self) -> u64 {
        self.on_hand.saturating_sub(self.reserved)
    }

    /// The level after `change`. What is reserved stays reserved.
    pub fn restocked(self, change: Restock) -> Result<Self, RestockRefused> {
        let on_hand = match change {
            Restock::To(on_hand) => Some(on_hand),
            Restock::By(delta) => self.on_hand.checked_add_signed(delta),
        };
        match on_hand {
            Some(on_hand) if on_hand > ON_HAND_MAX => Err(RestockRefused::TooMany),
            Some(on_hand) if on_hand >= self.reserved => Ok(Self { on_hand, ..self }),
            // `None` is below zero, or past the range of the type.
            None if change.adds() => Err(RestockRefused::TooMany),
            _ => Err(RestockRefused::BelowReserved {
                reserved: self.reserved,
            }),
        }
    }
}

/// The largest quantity of one item that survives a JSON number in every client (2^53 - 1).
pub const ON_HAND_MAX: u64 = (1 << 53) - 1;

/// A client's change of the quantity on hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restock {
    /// Sets the quantity.
    To(u64),
    /// Adds to the quantity, or takes from it.
    By(i64),
}

impl Restock {
    const fn adds(self) -> bool {
        matches!(self, Self::By(delta) if delta > 0)
    }
}

/// A change that the item doesn't allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestockRefused {
    /// There would be less than is promised.
    #[error("{reserved} are reserved")]
    BelowReserved {
        /// How many are reserved.
        reserved: u64,
    },
    /// There would be more than can be counted.
    #[error("more than {ON_HAND_MAX} would be on hand")]
    TooMany,
}

/// The state of one order's reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Held.
    Held,
    /// Could not be met; nothing is held.
    Failed,
    /// Put back after a cancellation.
    Released,
    /// Gone with the delivery.
    Shipped,
    /// The cancellation came before the creation: a mark, so that the late creation reserves nothing.
    Barred,
}

impl Reservation {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Held,
        Self::Failed,
        Self::Released,
        Self::Shipped,
        Self::Barred,
    ];

    /// The stored and shown name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "RESERVED",
            Self::Failed => "FAILED",
            Self::Released => "RELEASED",
            Self::Shipped => "SHIPPED",
            Self::Barred => "BARRED",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// An order's request to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Hold all of these, or nothing.
    Reserve(Vec<(Sku, u64)>),
    /// Put back what is held.
    Release,
    /// What is held has left the house.
    Ship,
}

/// The ledger's reply to a request, to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Everything is held.
    Reserved,
    /// These items were short or unknown; nothing is held.
    Failed(Vec<Sku>),
    /// What was held is back.
    Released,
}

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new state, with the reply to publish if there is one.
    Now {
        /// The reservation's new state.
        state: Reservation,
        /// What to publish.
        reply: Option<Reply>,
    },
    /// Seen before: publish the stored reply again, change nothing.
    Repeat,
    /// Nothing to do and nothing to say.
    Ignored,
}

/// The items that a batch of requests touches, locked by the caller.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    levels: BTreeMap<Sku, Level>,
}

impl Ledger {
    /// A ledger over `levels`; a SKU that isn't in it is unknown.
    pub fn new(levels: BTreeMap<Sku, Level>) -> Self {
        Self { levels }
    }

    /// Decides one request and changes the levels. `state` is the order's reservation so far, and `held`
    /// its items.
    pub fn apply(
        &mut self,
        request: &Request,
        state: Option<Reservation>,
        held: &[(Sku, u64)],
    ) -> Outcome {
        match (request, state) {
            (Request::Reserve(demand), None) => self.reserve(demand),
            (Request::Reserve(_), Some(Reservation::Barred)) => Outcome::Ignored,
            (Request::Reserve(_), Some(_)) | (Request::Release, Some(Reservation::Released)) => {
                Outcome::Repeat
            }
            (Request::Release, None) => Outcome::Now {
                state: Reservation::Barred,
                reply: Some(Reply::Released),
            },
            (Request::Release, Some(Reservation::Held)) => {
                self.put_back(held, false);
                Outcome::Now {
                    state: Reservation::Released,
                    reply: Some(Reply::Released),
                }
            }
            (Request::Release, Some(Reservation::Barred)) => Outcome::Repeat,
            // The order was refused before it was cancelled: nothing is held, but the saga awaits an
            // answer.
            (Request::Release, Some(Reservation::Failed)) => Outcome::Now {
                state: Reservation::Released,
                reply: Some(Reply::Released),
            },
            (Request::Ship, Some(Reservation::Held)) => {
                self.put_back(held, true);
                Outcome::Now {
                    state: Reservation::Shipped,
                    reply: None,
                }
            }
            (Request::Release, Some(Reservation::Shipped)) | (Request::Ship, _) => Outcome::Ignored,
        }
    }

    /// The levels after all applied requests.
    pub fn levels(&self) -> &BTreeMap<Sku, Level> {
        &self.levels
    }

    fn reserve(&mut self, demand: &[(Sku, u64)]) -> Outcome {
        // Adds up a SKU that occurs twice, in case the caller didn't.
        let mut sums = BTreeMap::<&Sku, u64>::new();
        for (sku, quantity) in demand {
            let sum = sums.entry(sku).or_default();
            *sum = sum.saturating_add(*quantity);
        }
        let short: Vec<Sku> = sums
            .iter()
            .filter(|(sku, quantity)| {
                self.levels
                    .get(**sku)
                    .is_none_or(|level| level.available() < **quantity)
            })
            .map(|(sku, _)| (*sku).clone())
            .collect();
        if !short.is_empty() {
            return Outcome::Now {
                state: Reservation::Failed,
                reply: Some(Reply::Failed(short)),
            };
        }
        for (sku, quantity) in demand {
            if let Some(level) = self.levels.get_mut(sku) {
                level.reserved += quantity;
            }
        }
        Outcome::Now {
            state: Reservation::Held,
            reply: Some(Reply::Reserved),
        }
    }

    fn put_back(&mut self, held: &[(Sku, u64)], gone: bool) {
        for (sku, quantity) in held {
            if let Some(level) = self.levels.get_mut(sku) {
                level.reserved = level.reserved.saturating_sub(*quantity);
                if gone {
                    level.on_hand = level.on_hand.saturating_sub(*quantity);
                }
            }
        }
    }
}
