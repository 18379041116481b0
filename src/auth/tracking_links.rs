//! Tracking links: whoever has one may follow one order, without any other credential. The token in it names the
//! order and is signed, so nothing is stored for it. Leaves what it shows to `api`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::config::TrackingKey;
use crate::ports::clock::Clock;

/// How long a link goes on after the order's final status.
pub const LIFE_AFTER_END: Duration = Duration::from_hours(24);

/// Goes before what is signed: a key that signs something else too gives no token by that.
const PURPOSE: &[u8] = b"trackops tracking link\0";

/// The form of the token: version, key id, order id, MAC. Only the key id varies in length.
const FORM: u8 = 1;
const ORDER_BYTES: usize = 16;

/// Half of an HMAC-SHA256 (RFC 2104, 5).
const MAC_BYTES: usize = 16;

/// Makes tracking links, and reads their tokens. Cheap to clone.
#[derive(Clone)]
pub struct TrackingLinks(Arc<Inner>);

struct Inner {
    keys: Vec<Key>,
    base_url: Box<str>,
    clock: Arc<dyn Clock>,
}

struct Key {
    id: Box<str>,
    /// Has taken the purpose in.
    mac: Hmac<Sha256>,
}

impl TrackingLinks {
    /// The first of `keys` signs, and tokens of all are read. Without any there are no links. `base_url` goes before
    /// the path of a link.
    pub fn new(keys: &[TrackingKey], base_url: &str, clock: Arc<dyn Clock>) -> Self {
        let key = |key: &TrackingKey| Key {
            id: key.id.clone(),
            mac: Hmac::<Sha256>::new_from_slice(key.secret.expose_secret().as_bytes())
                .expect("a key of any length")
                .chain_update(PURPOSE),
        };
        Self(Arc::new(Inner {
            keys: keys.iter().map(key).collect(),
            base_url: base_url.trim_end_matches('/').into(),
            clock,
        }))
    }

    /// The link of `order`; `None` if there are no links.
    pub fn url(&self, order: OrderId) -> Option<String> {
        let token = self.token(order)?;
        Some(format!("{}/track/{token}", self.0.base_url))
    }

    /// The order whose token this is. The MAC is compared in constant time, and before anything is looked up.
    pub fn order_of(&self, token: &str) -> Option<OrderId> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (said, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let (head, order) = said.split_at_checked(said.len().checked_sub(ORDER_BYTES)?)?;
        let (form, id) = head.split_first()?;
        let named = self.0.keys.iter().find(|key| key.id.as_bytes() == id);
        // Compared with some key in any case, so that the time doesn't tell which keys there are.
        let key = named.or(self.0.keys.first())?;
        let signed = key.mac.clone().chain_update(said);
        let is_ours = signed.verify_truncated_left(mac).is_ok();
        let is_known = named.is_some() && *form == FORM;
        let order = Uuid::from_slice(order).ok()?;
        (is_ours && is_known).then_some(OrderId(order))
    }

    /// Whether the link of `order` has ended.
    pub fn has_ended(&self, order: &Order) -> bool {
        self.has_ended_after(order.final_at())
    }

    /// The same for an order that reached its final status at `final_at`; `None` for one that hasn't.
    pub fn has_ended_after(&self, final_at: Option<Timestamp>) -> bool {
        final_at.is_some_and(|at| at.plus(LIFE_AFTER_END) <= self.0.clock.now())
    }

    fn token(&self, order: OrderId) -> Option<String> {
        let key = self.0.keys.first()?;
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(key.id.as_bytes());
        bytes.extend_from_slice(order.0.as_bytes());
        let mac = key.mac.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_BYTES]);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tracking_keys;
    use crate::ports::clock::SystemClock;

    const ORDER: OrderId = OrderId(Uuid::from_u128(0x0190_a5c2_7b1e_7cc3_98c4_dc0c_0c07_398f));

    fn links(keys: &str) -> TrackingLinks {
        let keys = tracking_keys::parse(&keys.into()).expect("keys");
        TrackingLinks::new(&keys, "https://shop.example/", Arc::new(SystemClock))
    }

    #[test]
    fn a_token_names_its_order_and_keeps_its_form() {
        let links = links("k1:0123456789abcdef");
        let url = links.url(ORDER).expect("a link");
        let token = url.strip_prefix("https://shop.example/track/");
        let token = token.expect("below the base");
        assert_eq!(links.order_of(token), Some(ORDER));
        // Links that people have must go on working: a change of this text is a new form.
        assert_eq!(token, "AWsxAZClwnsefMOYxNwMDAc5j-M1RfkylOGTvDS48WpZax8");
        let bare = self::links("");
        assert_eq!((bare.url(ORDER), bare.order_of(token)), (None, None));
    }

    #[test]
    fn no_bit_and_no_length_can_be_another() {
        let links = links("k1:0123456789abcdef");
        let token = links.token(ORDER).expect("a token");
        let bytes = URL_SAFE_NO_PAD.decode(&token).expect("base64url");
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let other = URL_SAFE_NO_PAD.encode(other);
            assert_eq!(links.order_of(&other), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            for part in [&bytes[..length], &bytes[bytes.len() - length..]] {
                let part = URL_SAFE_NO_PAD.encode(part);
                assert_eq!(links.order_of(&part), None, "{length} bytes");
            }
        }
        // Nor can the text be another: its last character has bits that stand for nothing.
        for character in 0_u8..=127 {
            let mut other = token.clone();
            other.pop();
            other.push(char::from(character));
            let is_same = other == token;
            assert_eq!(links.order_of(&other).is_some(), is_same, "{character}");
        }
        for other in [
            format!("{token}A"),
            format!("{token}="),
            format!(" {token}"),
        ] {
            assert_eq!(links.order_of(&other), None, "{other}");
        }
    }

    #[test]
    fn the_first_key_signs_and_all_are_read() {
        let (old, new) = ("k1:0123456789abcdef", "k2:fedcba9876543210");
        let token = |keys: &str| links(keys).token(ORDER).expect("a token");
        let both = links(&format!("{new},{old}"));
        assert_eq!(both.token(ORDER), Some(token(new)));
        for token in [token(old), token(new)] {
            assert_eq!(both.order_of(&token), Some(ORDER));
        }
        // Without its key, under another secret of its id, and under its secret with another id.
        assert_eq!(links(new).order_of(&token(old)), None);
        let foreign = token("k1:fedcba9876543210");
        assert_eq!(both.order_of(&foreign), None);
        let renamed = token("k3:0123456789abcdef");
        assert_eq!(both.order_of(&renamed), None);
    }

    /// The same secret may be in use elsewhere.
    #[test]
    fn a_plain_mac_of_the_same_bytes_is_no_token() {
        let links = links("k1:0123456789abcdef");
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(b"k1");
        bytes.extend_from_slice(ORDER.0.as_bytes());
        let mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").expect("a key");
        let mac = mac.chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_BYTES]);
        assert_eq!(links.order_of(&URL_SAFE_NO_PAD.encode(bytes)), None);
    }
}
